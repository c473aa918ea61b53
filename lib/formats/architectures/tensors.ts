import type { Hyperparameters } from '../../model-spec.js';
import type { TensorPart, TensorRow } from './index.js';

/**
 * What each format calls a tensor, without `blk.N.` or `model.layers.N.`, and without `.weight` or `.bias`. In names of
 * experts `N` stands for the expert's number; GGUF has those of all experts in one tensor.
 */
export interface TensorName {
  gguf?: string;
  huggingFace?: string;
  part?: TensorPart;
}

/** By canonical name, without `layers.N.` */
export type TensorNames = Record<string, TensorName>;

const names = (gguf: string, huggingFace: string): TensorName => ({ gguf, huggingFace });

/** What most families call their tensors. */
export const commonNames: TensorNames = {
  embedding: names('token_embd', 'model.embed_tokens'),
  outputNorm: names('output_norm', 'model.norm'),
  output: names('output', 'lm_head'),
  attentionNorm: names('attn_norm', 'input_layernorm'),
  'attention.query': names('attn_q', 'self_attn.q_proj'),
  'attention.key': names('attn_k', 'self_attn.k_proj'),
  'attention.value': names('attn_v', 'self_attn.v_proj'),
  'attention.output': names('attn_output', 'self_attn.o_proj'),
  'attention.queryNorm': names('attn_q_norm', 'self_attn.q_norm'),
  'attention.keyNorm': names('attn_k_norm', 'self_attn.k_norm'),
  attentionPostNorm: names('post_attention_norm', 'post_attention_layernorm'),
  feedForwardNorm: names('ffn_norm', 'post_attention_layernorm'),
  'feedForward.gate': names('ffn_gate', 'mlp.gate_proj'),
  'feedForward.up': names('ffn_up', 'mlp.up_proj'),
  'feedForward.down': names('ffn_down', 'mlp.down_proj'),
  router: names('ffn_gate_inp', 'mlp.gate'),
  'experts.gate': names('ffn_gate_exps', 'mlp.experts.N.gate_proj'),
  'experts.up': names('ffn_up_exps', 'mlp.experts.N.up_proj'),
  'experts.down': names('ffn_down_exps', 'mlp.experts.N.down_proj'),
  'attention.sinks': names('attn_sinks', 'self_attn.sinks'),
  feedForwardPostNorm: names('post_ffw_norm', 'post_feedforward_layernorm'),
};

/** Every tensor that the hyperparameters call for: the same table as the native side's `model_tensors.cc`. */
export function tensorRows(
  hyperparameters: Hyperparameters,
  own: TensorNames = {},
  huggingFaceLayers = 'model.layers',
): TensorRow[] {
  const { layers, width, vocabularySize, rope, norm, tiedEmbeddings, outputBias } = hyperparameters;
  const all = { ...commonNames };
  for (const [name, names] of Object.entries(own)) all[name] = { ...all[name], ...names };
  const table = new TensorTable(all, huggingFaceLayers);
  table.add('embedding', vocabularySize, width);
  if (rope.scaling.kind === 'factors') {
    table.rows.push({ name: 'ropeFactors', gguf: 'rope_freqs.weight', shape: [1, rope.dimension / 2] });
  }
  for (let layer = 0; layer < layers; layer++) addLayer(table, hyperparameters, layer);
  table.addNorm('outputNorm', width, norm);
  if (!tiedEmbeddings) table.add('output', vocabularySize, width);
  if (outputBias) table.addBias('output', vocabularySize);
  return table.rows;
}

class TensorTable {
  readonly rows: TensorRow[] = [];
  layer: number | undefined;

  constructor(
    private readonly names: TensorNames,
    private readonly huggingFaceLayers: string,
  ) {}

  add(name: string, rows: number, columns: number, suffix: 'weight' | 'bias' = 'weight'): void {
    const { gguf, huggingFace, part } = this.names[name]!;
    const { layer } = this;
    const [own, ggufLayer, huggingFaceLayer] =
      layer === undefined ? ['', '', ''] : [`layers.${layer}.`, `blk.${layer}.`, `${this.huggingFaceLayers}.${layer}.`];
    this.rows.push({
      name: own + (suffix === 'bias' ? `${name}.bias` : name),
      ...(gguf !== undefined && { gguf: `${ggufLayer}${gguf}.${suffix}` }),
      ...(huggingFace !== undefined && { huggingFace: `${huggingFaceLayer}${huggingFace}.${suffix}` }),
      shape: [rows, columns],
      ...(part !== undefined && { part }),
    });
  }

  /** One tensor of each expert. In GGUF they are rows of one, biases too. */
  addExperts(name: string, count: number, rows: number, columns: number, suffix: 'weight' | 'bias' = 'weight'): void {
    const { gguf, huggingFace } = this.names[`experts.${name}`]!;
    const { layer } = this;
    for (let expert = 0; expert < count; expert++) {
      this.rows.push({
        name: `layers.${layer}.experts.${expert}.${name}${suffix === 'bias' ? '.bias' : ''}`,
        gguf: `blk.${layer}.${gguf}.${suffix}`,
        huggingFace: `${this.huggingFaceLayers}.${layer}.${huggingFace?.replace('N', String(expert))}.${suffix}`,
        shape: [rows, columns],
        ggufPart: { firstRow: expert * rows, ofRows: count * rows },
      });
    }
  }

  addBias(name: string, columns: number): void {
    this.add(name, 1, columns, 'bias');
  }

  addNorm(name: string, columns: number, norm: Hyperparameters['norm']): void {
    this.add(name, 1, columns);
    if (norm === 'layer') this.addBias(name, columns);
  }
}

function addLayer(table: TensorTable, hyperparameters: Hyperparameters, layer: number): void {
  const { width, norm, postNorms, parallelBlocks } = hyperparameters;
  table.layer = layer;
  table.addNorm('attentionNorm', width, norm);
  addAttention(table, hyperparameters);
  if (postNorms) table.addNorm('attentionPostNorm', width, norm);
  if (!parallelBlocks) table.addNorm('feedForwardNorm', width, norm);
  if (hyperparameters.experts) addExperts(table, hyperparameters, hyperparameters.experts.count);
  else addFeedForward(table, hyperparameters);
  if (postNorms) table.addNorm('feedForwardPostNorm', width, norm);
  table.layer = undefined;
}

function addAttention(table: TensorTable, hyperparameters: Hyperparameters): void {
  const { width, heads, kvHeads, headDim, queryKeyValueBias, attentionOutputBias } = hyperparameters;
  const { queryKeyNorm, attentionSinks } = hyperparameters;
  const sizes = { query: heads * headDim, key: kvHeads * headDim, value: kvHeads * headDim };
  for (const [name, rows] of Object.entries(sizes)) {
    table.add(`attention.${name}`, rows, width);
    if (queryKeyValueBias) table.addBias(`attention.${name}`, rows);
  }
  table.add('attention.output', width, heads * headDim);
  if (attentionOutputBias) table.addBias('attention.output', width);
  if (queryKeyNorm) {
    table.add('attention.queryNorm', 1, headDim);
    table.add('attention.keyNorm', 1, headDim);
  }
  if (attentionSinks) table.add('attention.sinks', 1, heads);
}

function addFeedForward(table: TensorTable, hyperparameters: Hyperparameters): void {
  const { width, ffnWidth, gated = true, feedForwardBias } = hyperparameters;
  const sizes = { ...(gated && { gate: ffnWidth }), up: ffnWidth, down: width };
  for (const [name, rows] of Object.entries(sizes)) {
    table.add(`feedForward.${name}`, rows, name === 'down' ? ffnWidth : width);
    if (feedForwardBias) table.addBias(`feedForward.${name}`, rows);
  }
}

function addExperts(table: TensorTable, hyperparameters: Hyperparameters, count: number): void {
  const { width, ffnWidth, feedForwardBias, routerBias } = hyperparameters;
  table.add('router', count, width);
  if (routerBias) table.addBias('router', count);
  for (const [name, rows] of Object.entries({ gate: ffnWidth, up: ffnWidth, down: width })) {
    table.addExperts(name, count, rows, name === 'down' ? ffnWidth : width);
    if (feedForwardBias) table.addExperts(name, count, 1, rows, 'bias');
  }
}
