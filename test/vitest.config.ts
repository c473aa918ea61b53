import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 60_000,
    // Two engines beside each other would fight for the cores of a small machine.
    fileParallelism: false,
    pool: 'forks',
  },
});
