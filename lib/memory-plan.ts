/** What a model will take, known before anything is allocated. */
import { freemem, totalmem } from 'node:os';
import { InferceptError } from './errors.js';
import { groupLayers, type LayerGroups } from './layer-groups.js';
import { type Hyperparameters, isQuantized, type ModelSpec, type TensorSpec, tensorTypes } from './model-spec.js';

/** Bytes. */
export interface MemoryPlan {
  /** Weights, as they are stored after loading. */
  weightBytes: number;
  /** The KV cache on the device. */
  kvBytes: number;
  /** The host tier of contexts that were swapped out. */
  hostBytes: number;
  /** Activations of the largest step; about. */
  workspaceBytes: number;
  /** Keys and values of one token in all layers. */
  bytesPerToken: number;
  /** Keys and values of one context of full length: in layers that look no further back, of a window. */
  contextBytes: number;
}

export interface MemorySettings {
  /** Undefined: four contexts of full length, or what is free. */
  kvBytes: number | undefined;
  /** Undefined: twice `kvBytes`, or what is free. */
  hostBytes: number | undefined;
  kvDtype: string;
  quantize: string | undefined;
  contextTokens: number;
  /** Tokens of the largest step. */
  stepTokens: number;
  /** Whether the device has memory of its own: then only the host tier takes the machine's. */
  ownMemory?: boolean;
}

export interface Machine {
  totalBytes: number;
  freeBytes: number;
}

export function thisMachine(): Machine {
  return { totalBytes: totalmem(), freeBytes: freemem() };
}

/** A KV cache is made this large, however little is free: enough for some hundred tokens of a large model. */
const kvBytesMin = 2 ** 26;
/** Unless the user says otherwise. */
const blockTokensUsual = 16;
/** Rows of logits that are made at a time, as in addon/model/workspace.cc. */
const logitRowsMax = 64;

export function planMemory(spec: ModelSpec, settings: MemorySettings, machine: Machine = thisMachine()): MemoryPlan {
  const weightBytes = spec.tensors.reduce((total, tensor) => total + storedBytes(tensor, settings.quantize), 0);
  const groups = groupLayers(spec.hyperparameters, settings.contextTokens);
  const bytesPerToken = tokenBytes(spec.hyperparameters, groups, settings.kvDtype);
  const workspaceBytes = activationBytes(spec.hyperparameters, settings.stepTokens, settings.ownMemory ?? false);
  // The tiers share what the weights leave, and leave as much to others.
  const left = machine.freeBytes - (settings.ownMemory ? 0 : weightBytes + workspaceBytes);
  const share = Math.floor(Math.min(machine.totalBytes / 4, Math.max(left / 2, kvBytesMin)));
  const contextBytes = Math.ceil(keptTokens(groups, settings) * bytesPerToken);
  const kvBytes = settings.kvBytes ?? Math.min(4 * contextBytes, share);
  const hostBytes = settings.hostBytes ?? Math.min(2 * kvBytes, share);
  return { weightBytes, kvBytes, hostBytes, workspaceBytes, bytesPerToken, contextBytes };
}

/**
 * Tokens of all layers that take as much memory as a context. Beside its window it has what a step computes, and ends within
 * blocks; where some layers see everything, a step computes no more than a window of it (addon/sched/scheduler.cc).
 */
function keptTokens({ count, full, windowTokens }: LayerGroups, { contextTokens, stepTokens }: MemorySettings): number {
  if (windowTokens === 0) return contextTokens;
  const chunk = full > 0 ? Math.min(stepTokens, windowTokens) : stepTokens;
  const slides = Math.min(contextTokens, windowTokens + chunk + 2 * blockTokensUsual);
  return (contextTokens * full + slides * (count - full)) / count;
}

/** @throws InferceptError `ERR_OUT_OF_MEMORY` if a machine can never have so much */
export function assertFits(source: string, plan: MemoryPlan, { totalBytes }: Machine = thisMachine()): void {
  const { weightBytes, kvBytes, hostBytes, workspaceBytes } = plan;
  const needed = weightBytes + kvBytes + hostBytes + workspaceBytes;
  if (needed <= totalBytes) return;
  throw new InferceptError(
    'ERR_OUT_OF_MEMORY',
    `${source} does not fit: weights ${sizeText(weightBytes)}, KV cache ${sizeText(kvBytes)}, host tier ${sizeText(hostBytes)}, ` +
      `activations ${sizeText(workspaceBytes)}, of ${sizeText(totalBytes)} that the machine has. Give less to kvCache.bytes and ` +
      "swap.hostBytes, load a model with fewer bits per weight, or name the device if its memory is its own: device: 'cuda'.",
    { details: { needed, totalBytes, ...plan } },
  );
}

/** Bytes of one key or value element. Q8_0 has blocks of 32 with a 16-bit scale; those without an entry are 16-bit floats. */
const elementBytes = (dtype: string): number => ({ f32: 4, q8_0: 34 / 32, f8_e4m3: 1 })[dtype] ?? 2;

/** With the places in blocks that no layer has. */
function tokenBytes({ kvHeads, headDim }: Hyperparameters, { count, layers }: LayerGroups, dtype: string): number {
  return Math.ceil(2 * count * layers * kvHeads * headDim * elementBytes(dtype));
}

/** What a tensor takes after loading; which type it gets then is decided in addon/model/quantizing_source.h. */
function storedBytes({ name, dtype, shape: [rows, columns] }: TensorSpec, quantize: string | undefined): number {
  const wanted = [quantize, 'q8_0'].find((type) => type !== undefined && columns % blockOf(type).blockElements === 0);
  const stays = rows === 1 || name.endsWith('.router') || isQuantized(dtype);
  const changes = quantize !== undefined && quantize !== 'none' && !stays;
  const { blockElements, blockBytes } = blockOf(changes ? (wanted ?? dtype) : dtype);
  return rows * Math.ceil(columns / blockElements) * blockBytes;
}

function blockOf(name: string): { blockElements: number; blockBytes: number } {
  return tensorTypes[name as keyof typeof tensorTypes] ?? { blockElements: 1, blockBytes: 4 };
}

/**
 * Follows addon/model/workspace.cc, but for what its matrix products use: at most their inputs once more, and with experts those
 * of one (CPU), or those of all in 16 bits (CUDA).
 */
function activationBytes(h: Hyperparameters, rows: number, ownMemory: boolean): number {
  const headsWidth = (h.heads + 2 * h.kvHeads) * h.headDim;
  const { count, used } = h.experts ?? { count: 0, used: 0 };
  const networks = Math.max(used, 1);
  const perRow =
    4 * h.width + headsWidth + h.heads * h.headDim + 2 * networks * h.ffnWidth + count + used * (4 + h.width);
  // A device with memory of its own samples from a copy, where penalties and biases are.
  const logits = Math.min(rows, logitRowsMax) * h.vocabularySize * (ownMemory ? 2 : 1);
  const inputs = Math.max(h.width, h.ffnWidth) * (1 + Math.max(Math.min(used, 1), used / 2));
  return 4 * (rows * (perRow + inputs) + logits);
}

/** Bytes as people read them. */
export function sizeText(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, bytes < 1 ? 0 : Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * power);
  return `${value >= 100 || power === 0 ? Math.round(value) : value.toPrecision(3)} ${units[power]}`;
}
