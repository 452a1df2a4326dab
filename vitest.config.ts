import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Tests that spawn wait for processes, not for the processor: more files at once than cores is fine.
    pool: "forks",
  },
})
