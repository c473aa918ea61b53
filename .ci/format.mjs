// Formats C++ and CUDA sources with clang-format (addon/.clang-format); with --check says which are not formatted.
import { execFileSync, spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { getNativeBinary } = createRequire(import.meta.url)('clang-format');
const files = execFileSync('git', ['ls-files', 'addon', 'test/native', 'bench/native'], { encoding: 'utf8' })
  .split('\n')
  .filter((name) => /\.(h|cc|cu|cuh)$/.test(name));
const mode = process.argv.includes('--check') ? ['--dry-run', '-Werror'] : ['-i'];
const { status } = spawnSync(getNativeBinary(), ['--style=file:addon/.clang-format', ...mode, ...files], {
  stdio: 'inherit',
});
process.exit(status ?? 1);
