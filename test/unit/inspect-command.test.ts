// `infercept inspect` says what is in the files, what it takes, and what of it cannot be used; it loads nothing.
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspectCommand, inspectUsage } from '../../lib/inspect-command.js';
import { fixture } from './support/fixtures.js';

const lines = async (...args: string[]) => {
  const text = await inspectCommand(args);
  return Object.fromEntries(
    Array.from(text.matchAll(/^ {2}(.{14}) (.*)$/gm), ([, name, value]) => [name!.trim(), value]),
  );
};

describe('infercept inspect', () => {
  it('explains itself', async () => expect(await inspectCommand(['--help'])).toBe(inspectUsage));

  it('tells of a directory', async () => {
    const told = await lines(fixture('models/plain-f32'), '--kv', '1MiB', '--host', '0', '--context', '100');
    expect(told).toMatchObject({
      architecture: 'llama',
      layers: '2 of width 64',
      heads: '4 of 16, 2 of keys and values',
      context: '512 tokens',
      positions: 'rotary, base 10000',
      tokenizer: 'BPE, 283 tokens',
      'tool calls': 'hermes',
    });
    expect(told.weights).toMatch(/^f32 \d+ KiB$/);
    expect(told['chat template']).toBe('ends turns with <|im_end|> <|endoftext|>');
    expect(told.memory).toMatch(
      /KV cache 1\.00 MiB \(4096 tokens of 256 B; a context takes up to 25\.0 KiB\), host tier 0 B/,
    );
    expect(told).not.toHaveProperty('not supported');
  });

  it('tells of windows', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infercept-inspect-'));
    try {
      cpSync(fixture('models/plain-f32'), folder, { recursive: true });
      const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
      const windowed = { ...config, architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: 100 };
      const windowsOf = async (changes: object) => {
        writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...windowed, ...changes }));
        return (await lines(folder)).windows;
      };
      expect(await windowsOf({})).toBe('100 tokens in 2 of 2 layers; older tokens are not kept');
      const mixed = { layer_types: ['sliding_attention', 'full_attention'] };
      expect(await windowsOf(mixed)).toBe(
        '100 tokens in 1 of 2 layers; these do not keep older tokens, the others keep all; blocks of 1 layer',
      );
      expect(await windowsOf({ ...mixed, sliding_window: 512 })).toBe(
        '512 tokens in 1 of 2 layers; no context is longer, and all keep all tokens',
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('tells of a GGUF file of several types, as JSON', async () => {
    const told = JSON.parse(await inspectCommand([fixture('models/mixed-q4_k_m.gguf'), '--json', '--kv-type', 'f32']));
    expect(Object.keys(told.weights)).toEqual(expect.arrayContaining(['q4_k', 'q6_k', 'f32']));
    expect(told.memory.weightBytes).toBe(
      Object.values<number>(told.weights).reduce((total, bytes) => total + bytes, 0),
    );
    expect(told.memory.bytesPerToken).toBe(2 * 1 * 1 * 32 * 4);
    expect(told.parameters).toBeGreaterThan(200_000);
    expect(told.notSupported).toEqual([]);
  });

  it('tells what is not supported', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'infercept-inspect-'));
    try {
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ architectures: ['MambaForCausalLM'] }));
      expect(await lines(folder)).toEqual({ 'not supported': expect.stringMatching(/MambaForCausalLM/) });
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ quantization_config: { quant_method: 'awq' } }));
      expect(await lines(folder)).toEqual({ 'not supported': expect.stringMatching(/AWQ.*GGUF/) });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it.each([
    [[], /Name one model/, 'ERR_INVALID_ARGUMENT'],
    [['a', 'b'], /Name one model/, 'ERR_INVALID_ARGUMENT'],
    [['demo', '--context', 'x'], /contextTokens/, 'ERR_INVALID_ARGUMENT'],
    [['demo', '--quantize', 'q9'], /quantize/, 'ERR_INVALID_ARGUMENT'],
    [['absent.gguf'], /absent\.gguf/, 'ERR_MODEL_NOT_FOUND'],
  ])('%j is refused', async (args, message, code) => {
    await expect(inspectCommand(args)).rejects.toThrow(message);
    await expect(inspectCommand(args)).rejects.toMatchObject({ code });
  });
});
