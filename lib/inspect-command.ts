/** `infercept inspect`: what a model's files say, what it would take, and what is not supported. Nothing is loaded. */
import { parseArgs } from 'node:util';
import { contextLength } from './context-length.js';
import { InferceptError } from './errors.js';
import { type LoadedModel, readModel } from './formats/load-model.js';
import { groupLayers } from './layer-groups.js';
import { type MemoryPlan, planMemory, sizeText, thisMachine } from './memory-plan.js';
import { type Hyperparameters, type ModelSpec, type QuantizedType, quantizedTypes } from './model-spec.js';
import { checkLoadOptions } from './options.js';
import { createChatTemplate } from './text/chat-template.js';
import { createTokenizer, type Tokenizer } from './text/tokenizer.js';
import { detectToolCallFormat } from './text/tool-call-format.js';

export const inspectUsage = `usage: infercept inspect MODEL [options]

Prints what a model is, what it would take in memory, and what of it is not supported. No weights are read.

  MODEL               as for Engine.load: the path of a GGUF file or of a Hugging Face folder, demo, or
                      hf:organization/name[@revision][/file], whose weights stay there
  --context N         tokens of the longest context (default: the model's own)
  --kv BYTES          of the KV cache, for example 2GiB (default: as Engine.load chooses)
  --kv-type TYPE      of its elements: auto, f32, f16, bf16, q8_0 or f8_e4m3 (default: auto)
  --host BYTES        of the host tier (default: as Engine.load chooses)
  --quantize TYPE     of the weights while they are loaded: ${quantizedTypes.join(', ')}
  --json              prints one JSON object
  --help
`;

const argumentTypes = {
  context: { type: 'string' },
  kv: { type: 'string' },
  'kv-type': { type: 'string' },
  host: { type: 'string' },
  quantize: { type: 'string' },
  json: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: argumentTypes, allowPositionals: true });
  } catch (cause) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', (cause as Error).message);
  }
}

type Values = ReturnType<typeof parse>['values'];

/** What is to be printed. @throws InferceptError as `Engine.load`, but for models that are well-formed and not supported */
export async function inspectCommand(args: readonly string[]): Promise<string> {
  const { values, positionals } = parse(args);
  if (values.help) return inspectUsage;
  const [source, ...others] = positionals;
  if (source === undefined || others.length > 0) {
    throw new InferceptError('ERR_INVALID_ARGUMENT', `Name one model.\n${inspectUsage}`);
  }
  const settings = loadSettings(values);
  const report = await readModel(source, { headersOnly: true }).then(
    (model) => inspect(model, settings),
    (error: unknown) => ({ notSupported: [unsupported(error)] }),
  );
  if (values.json) return `${JSON.stringify(report, null, 2)}\n`;
  return table(source, report);
}

function loadSettings(values: Values) {
  return checkLoadOptions({
    ...(values.context !== undefined && { contextTokens: Number(values.context) }),
    kvCache: {
      ...(values.kv !== undefined && { bytes: values.kv }),
      ...(values['kv-type'] !== undefined && { dtype: values['kv-type'] }),
    },
    swap: { ...(values.host !== undefined && { hostBytes: values.host }) },
    ...(values.quantize !== undefined && { quantize: values.quantize as QuantizedType }),
  });
}

/** The sentence of an error that says that something is not supported; other errors are thrown. */
function unsupported(error: unknown): string {
  if (InferceptError.isInstance(error) && error.code === 'ERR_MODEL_UNSUPPORTED') return error.message;
  throw error;
}

/** What is printed. Sizes are bytes. */
interface Report {
  architecture?: string;
  parameters?: number;
  layers?: number;
  width?: number;
  heads?: string;
  vocabulary?: number;
  contextTokens?: number;
  positions?: string;
  windows?: string;
  /** Bytes by type. */
  weights?: Record<string, number>;
  tokenizer?: string;
  template?: string;
  tools?: string;
  memory?: MemoryPlan & { contextTokens: number; kvTokens: number; machineBytes: number; freeBytes: number };
  notSupported: string[];
}

function inspect(model: LoadedModel, settings: ReturnType<typeof loadSettings>): Report {
  const { hyperparameters: h, tensors, architecture } = model.spec;
  const contextTokens = contextLength(h, settings.contextTokens);
  const machine = thisMachine();
  const plan = planMemory(
    model.spec,
    {
      kvBytes: settings.kvCache?.bytes,
      hostBytes: settings.swap?.hostBytes,
      kvDtype: settings.kvCache?.dtype ?? 'auto',
      quantize: settings.quantize,
      contextTokens,
      stepTokens: settings.stepTokens ?? 512,
    },
    machine,
  );
  return {
    architecture,
    parameters: tensors
      .filter(({ name }) => name !== 'ropeFactors')
      .reduce((total, { shape: [rows, columns] }) => total + rows * columns, 0),
    layers: h.layers,
    width: h.width,
    heads: `${h.heads} of ${h.headDim}, ${h.kvHeads} of keys and values`,
    vocabulary: h.vocabularySize,
    contextTokens: h.contextTokens,
    positions: `${h.rope.scaling.kind === 'none' ? 'rotary' : `rotary, ${h.rope.scaling.kind}`}, base ${h.rope.base}`,
    ...windowReport(h, contextTokens),
    weights: bytesByType(model.spec),
    ...textReport(model),
    memory: {
      ...plan,
      contextTokens,
      kvTokens: Math.floor(plan.kvBytes / plan.bytesPerToken),
      machineBytes: machine.totalBytes,
      freeBytes: machine.freeBytes,
    },
  };
}

function windowReport(h: Hyperparameters, contextTokens: number): Pick<Report, 'windows'> {
  const windows = h.windows?.filter((tokens) => tokens > 0) ?? [];
  if (windows.length === 0) return {};
  const sizes = [...new Set(windows)].join(' and ');
  const { count, full, layers, windowTokens } = groupLayers(h, contextTokens);
  const few = full === 0 ? 'older tokens are not kept' : 'these do not keep older tokens, the others keep all';
  const kept = windowTokens > 0 ? few : 'no context is longer, and all keep all tokens';
  const blocks = count > 1 ? `; blocks of ${layers} ${layers === 1 ? 'layer' : 'layers'}` : '';
  return { windows: `${sizes} tokens in ${windows.length} of ${h.layers} layers; ${kept}${blocks}` };
}

function bytesByType({ tensors }: ModelSpec): Record<string, number> {
  const bytes: Record<string, number> = {};
  for (const { dtype, byteLength } of tensors) bytes[dtype] = (bytes[dtype] ?? 0) + byteLength;
  return Object.fromEntries(Object.entries(bytes).sort(([, a], [, b]) => b - a));
}

function textReport(model: LoadedModel): Pick<Report, 'tokenizer' | 'template' | 'tools' | 'notSupported'> {
  const notSupported: string[] = [];
  const attempt = <T>(work: () => T): T | undefined => {
    try {
      return work();
    } catch (error) {
      notSupported.push(unsupported(error));
      return undefined;
    }
  };
  const { type = 'BPE', vocab } = model.tokenizer.definition.model;
  const tokens = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  const tokenizer = attempt(() => createTokenizer(model.tokenizer, model.defaults));
  const source = model.chatTemplate;
  const template = tokenizer && source !== undefined ? attempt(() => createChatTemplate(source, tokenizer)) : undefined;
  if (source === undefined)
    notSupported.push('Sessions: the model has no chat template; use engine.generate({ prompt }).');
  const tools = template?.supportsTools === true ? detectToolCallFormat(source!, tokenizer!)?.name : undefined;
  if (template !== undefined && tools === undefined) {
    notSupported.push('Tools: the chat template does not tell how to call them in a format that is known here.');
  }
  return {
    tokenizer: `${type}, ${tokens} tokens`,
    ...(template !== undefined && { template: `ends turns with ${endsOf(tokenizer!, template.endOfTurnIds)}` }),
    ...(tools !== undefined && { tools }),
    notSupported,
  };
}

function endsOf(tokenizer: Tokenizer, ids: ReadonlySet<number>): string {
  const all = new Set([...ids, ...tokenizer.eosTokenIds]);
  return Array.from(all, (id) => tokenizer.decode([id])).join(' ') || 'text alone';
}

function countText(count: number): string {
  const [unit, scale] = count >= 1e9 ? ['billion', 1e9] : count >= 1e6 ? ['million', 1e6] : ['', 1];
  return unit === '' ? String(count) : `${(count / scale).toPrecision(3)} ${unit}`;
}

function table(source: string, report: Report): string {
  const { memory, weights, notSupported } = report;
  const rows: [name: string, value: string | number | undefined][] = [
    ['architecture', report.architecture],
    ['parameters', report.parameters && countText(report.parameters)],
    ['layers', report.layers && `${report.layers} of width ${report.width}`],
    ['heads', report.heads],
    ['context', report.contextTokens && `${report.contextTokens} tokens`],
    ['positions', report.positions],
    ['windows', report.windows],
    [
      'weights',
      weights &&
        Object.entries(weights)
          .map(([type, bytes]) => `${type} ${sizeText(bytes)}`)
          .join(', '),
    ],
    ['tokenizer', report.tokenizer],
    ['chat template', report.template],
    ['tool calls', report.tools],
    ['memory', memory && memoryText(memory)],
    ...notSupported.map((sentence): [string, string] => ['not supported', sentence]),
  ];
  const lines = rows.flatMap(([name, value]) => (value === undefined ? [] : [`  ${name.padEnd(14)} ${value}`]));
  return `${source}\n${lines.join('\n')}\n`;
}

function memoryText(memory: NonNullable<Report['memory']>): string {
  const { weightBytes, kvBytes, hostBytes, workspaceBytes } = memory;
  const parts = [
    `weights ${sizeText(weightBytes)}`,
    `KV cache ${sizeText(kvBytes)} (${memory.kvTokens} tokens of ${sizeText(memory.bytesPerToken)}; a context takes up to ${sizeText(memory.contextBytes)})`,
    `host tier ${sizeText(hostBytes)}`,
    `activations ${sizeText(workspaceBytes)}`,
  ];
  const needed = weightBytes + kvBytes + hostBytes + workspaceBytes;
  return `${parts.join(', ')}: ${sizeText(needed)}; ${sizeText(memory.freeBytes)} of ${sizeText(memory.machineBytes)} are free`;
}
