import { availableParallelism } from "node:os"
import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: [".config/fresh-dist.mjs"],
    reporters: ["default", "./.config/tally.mjs"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests that spawn wait for processes, not for the processor: one more file at once than there are cores. The default,
    // one less, is one at a time on a machine of two.
    pool: "forks",
    poolOptions: { forks: { maxForks: availableParallelism() + 1 } },
  },
})
