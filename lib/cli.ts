#!/usr/bin/env node
/** The command line of the package: `npx infercept COMMAND`. */
import { calibrateCommand } from './calibrate-command.js';
import { InferceptError } from './errors.js';
import { inspectCommand } from './inspect-command.js';
import { simulateCommand } from './simulate-command.js';

const commands = { inspect: inspectCommand, simulate: simulateCommand, calibrate: calibrateCommand };

const usage = `usage: infercept COMMAND [options]

commands: ${Object.keys(commands).join(', ')}; each says more with --help
`;

async function main([name = '--help', ...args]: string[]): Promise<void> {
  if (name === '--help') {
    process.stdout.write(usage);
  } else if (Object.hasOwn(commands, name)) {
    process.stdout.write(await commands[name as keyof typeof commands](args));
  } else {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `There is no command '${name}'.\n${usage}`);
  }
}

main(process.argv.slice(2)).catch((error: unknown) => {
  if (!InferceptError.isInstance(error)) throw error;
  console.error(error.message);
  process.exitCode = error.code === 'ERR_INVALID_ARGUMENT' ? 2 : 1;
});
