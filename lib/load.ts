/** From a model's name to a running native engine and what turns text into its tokens. */

import { contextLength } from './context-length.js';
import type { ModelText } from './engine-core.js';
import { throwIfAborted } from './errors.js';
import { toNativeDurations } from './estimates.js';
import { type LoadedModel, readModel } from './formats/load-model.js';
import { assertNotQuantized } from './formats/tensor-table.js';
import { KindTable } from './kind-table.js';
import { assertFits, type MemoryPlan, planMemory } from './memory-plan.js';
import { loadNative } from './native.js';
import { NativeLink } from './native-link.js';
import type { NativeOptions } from './native-protocol.js';
import type { checkLoadOptions, LoadProgress } from './options.js';
import { toNativeSlo } from './slo.js';
import { createChatTemplate } from './text/chat-template.js';
import { createTokenizer, type Tokenizer } from './text/tokenizer.js';
import { detectToolCallFormat } from './text/tool-call-format.js';

type LoadSettings = ReturnType<typeof checkLoadOptions>;

export interface LoadedEngine {
  link: NativeLink;
  text: ModelText;
}

/** What the settings come to for this model. */
function sizes({ contextTokens, stepTokens, kvCache = {} }: LoadSettings, { spec }: LoadedModel) {
  const blockTokens = kvCache.blockTokens ?? 16;
  return {
    blockTokens,
    contextTokens: contextLength(spec.hyperparameters, contextTokens),
    stepTokens: Math.max(stepTokens ?? 512, blockTokens),
    kvDtype: kvCache.dtype ?? 'auto',
  };
}

function memoryPlan(settings: LoadSettings, model: LoadedModel): MemoryPlan {
  return planMemory(model.spec, {
    ...sizes(settings, model),
    kvBytes: settings.kvCache?.bytes,
    hostBytes: settings.swap?.hostBytes,
    quantize: settings.quantize,
    ownMemory: hasOwnMemory(settings),
  });
}

/** As far as it is known before loading: `'auto'` may find such a device. */
function hasOwnMemory({ device = 'auto' }: LoadSettings): boolean {
  return device.startsWith('cuda');
}

function nativeOptions(
  settings: LoadSettings,
  model: LoadedModel,
  { tokenizer, kinds, plan }: { tokenizer: Tokenizer; kinds: KindTable; plan: MemoryPlan },
): NativeOptions {
  return {
    ...sizes(settings, model),
    kvBytes: plan.kvBytes,
    kvFillsDevice: settings.kvCache?.bytes === undefined,
    hostBytes: plan.hostBytes,
    device: settings.device ?? 'auto',
    deterministic: settings.deterministic ?? false,
    quantize: settings.quantize ?? 'none',
    policy: settings.policy ?? 'adaptive',
    slo: toNativeSlo(settings.slo),
    threads: settings.threads ?? 0,
    pinThreads: settings.pinThreads ?? false,
    saturationTokens: settings.saturationTokens ?? 0,
    prefixCache: settings.kvCache?.prefixCache ?? true,
    sequencesMax: settings.sequencesMax ?? 65536,
    vocabulary: tokenizer.table,
    durations: toNativeDurations(settings.estimates, kinds),
  };
}

function modelText(model: LoadedModel, tokenizer: Tokenizer): ModelText {
  const { chatTemplate } = model;
  const spelling = (id: number | undefined): string => (id === undefined ? '' : tokenizer.decode([id]));
  const template =
    chatTemplate === undefined
      ? undefined
      : createChatTemplate(chatTemplate, tokenizer, {
          bosToken: spelling(tokenizer.bosTokenId),
          eosToken: spelling(tokenizer.eosTokenIds.values().next().value),
        });
  const toolCallFormat = chatTemplate === undefined ? undefined : detectToolCallFormat(chatTemplate, tokenizer);
  const thoughts = chatTemplate?.includes('</think>') ? { open: '<think>', close: '</think>' } : undefined;
  return {
    tokenizer,
    template,
    toolCallFormat,
    reasoning: toolCallFormat?.reasoning ?? thoughts,
    stopTokens: Int32Array.from(new Set([...tokenizer.eosTokenIds, ...(template?.endOfTurnIds ?? [])])),
  };
}

/** @throws InferceptError `ERR_ABORTED`, `ERR_MODEL_*`, `ERR_OUT_OF_MEMORY`, `ERR_DEVICE`, `ERR_NATIVE_NOT_FOUND` */
export async function loadEngine(source: string, settings: LoadSettings): Promise<LoadedEngine> {
  const { signal } = settings;
  const report = (progress: LoadProgress): void => settings.onProgress?.(progress);
  const binding = loadNative(settings.nativeBinding);
  report({ phase: 'headers', loadedBytes: 0, totalBytes: 0 });
  const model = await readModel(source, {
    signal,
    onDownload: (bytes) => report({ phase: 'download', ...bytes }),
  });
  if (settings.quantize !== undefined) assertNotQuantized(model.spec, settings.quantize);
  const plan = memoryPlan(settings, model);
  report({ phase: 'plan', loadedBytes: 0, totalBytes: plan.weightBytes, memory: plan });
  if (!hasOwnMemory(settings)) assertFits(source, plan);
  const tokenizer = createTokenizer(model.tokenizer, model.defaults);
  try {
    const text = modelText(model, tokenizer);
    const kinds = new KindTable();
    const native = nativeOptions(settings, model, { tokenizer, kinds, plan });
    throwIfAborted(signal, `loading ${source}`);
    const link = await NativeLink.open(binding, { spec: model.spec, native, kinds, onProgress: report, signal });
    return { link, text };
  } catch (error) {
    tokenizer.dispose();
    throwIfAborted(signal, `loading ${source}`);
    throw error;
  }
}
