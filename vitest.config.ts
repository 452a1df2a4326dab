import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    globalSetup: [".config/fresh-dist.mjs"],
    reporters: ["default", "./.config/tally.mjs"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests that spawn wait for processes, not for the processor: more files at once than cores is fine.
    pool: "forks",
  },
})
