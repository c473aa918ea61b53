// `infercept calibrate`: what it prints is what `infercept simulate --profile` takes.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { calibrateCommand, calibrateUsage } from '../../lib/calibrate-command.js';
import { parseProfile } from '../../lib/measured-profile.js';
import { simulateCommand } from '../../lib/simulate-command.js';

describe('infercept calibrate', () => {
  it('explains itself', async () => expect(await calibrateCommand(['--help'])).toBe(calibrateUsage));

  it('prints a profile of this machine that can be simulated', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infercept-profile-'));
    try {
      const text = await calibrateCommand(['demo', '--threads', '1', '--kv', '8MiB', '--host', '0']);
      const profile = parseProfile(text);
      expect(profile.name).toMatch(/^cpu, .*, 1 thread$/);
      expect(profile.hostTokens).toBe(0);
      expect(profile.deviceTokens * profile.bytesPerToken).toBeLessThanOrEqual(8 * 2 ** 20);
      const path = join(folder, 'machine.json');
      writeFileSync(path, text);
      const table = await simulateCommand(['--profile', path, '--seconds', '5', '--token-scale', '0.05']);
      expect(table.split('\n')[0]).toBe(profile.name);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [[], /Name one model/],
    [['demo', 'other'], /Name one model/],
    [['demo', '--thread', '1'], /--thread/],
    [['demo', '--threads', 'two'], /threads/],
    [['demo', '--kv', 'plenty'], /kvCache.bytes/],
  ])('%j is refused', async (args, message) => {
    await expect(calibrateCommand(args)).rejects.toThrow(message);
    await expect(calibrateCommand(args)).rejects.toMatchObject({ code: 'ERR_INVALID_ARGUMENT' });
  });
});
