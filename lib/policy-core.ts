/**
 * What to do with contexts that wait for a tool, a person or another model, for an inference engine that is not ours: the
 * policy, the cost model and the estimator of durations of our scheduler, the native code itself, without sequences, blocks
 * or models.
 */
import { type CostProfile, costProfile, toNativeProfile, withCosts } from './cost-profile.js';
import { type Estimates, estimates, parseEstimates, toNativeDurations } from './estimates.js';
import type { Disposition } from './interception-record.js';
import { KindTable } from './kind-table.js';
import { fromNative, loadNative } from './native.js';
import type { NativeDecisions, NativePolicy } from './native-protocol.js';
import {
  findKind,
  type InterceptionKind,
  type PausedContext,
  type StepLoad,
  secondsMax,
  toNativeLoad,
  toNativePaused,
} from './policy-contexts.js';
import { dispositions, type PolicyName, policyNames } from './policy-names.js';
import { anything, integer, nonEmptyString, oneOf, real, required, string } from './validate.js';

export interface PolicyCoreOptions {
  /** Default `'adaptive'`. */
  policy?: PolicyName;
  /** What steps and copies cost at first; what is observed refines it. A `DeviceProfile` is one. */
  profile: CostProfile;
  /** Tokens per block. Default 16. */
  blockTokens?: number;
  /**
   * How far back attention looks in every layer. Contexts are then known to have given up the blocks behind it, though their tokens
   * count among `tokens`, and to be computed again as a whole. Default 0: to the beginning.
   */
  windowTokens?: number;
  /** What another core, or an engine, has learnt about durations. Default: nothing. */
  estimates?: Estimates;
}

/** What is asked: the contexts that wait, and what goes on beside them. */
export interface PolicyQuestion<Id = unknown> {
  /** All that may be given up. Of contexts that are equal the first gives way first. */
  paused: readonly PausedContext<Id>[];
  load: StepLoad;
}

/** What each alternative would waste: device memory times time that serves nobody, in byte-seconds. */
export type Waste = Readonly<Record<Disposition, number>>;

/** What a context costs, whatever happens to it. */
export interface WeighedContext<Id = unknown> {
  id: Id;
  waste: Waste;
  /** How much longer its interception is expected to last. */
  residualSeconds: number;
}

/** A context that gives up memory in this step, or is copied ahead. */
export interface PolicyDecision<Id = unknown> extends WeighedContext<Id> {
  /** `preserve`: it is copied ahead only. */
  disposition: Disposition;
  /**
   * How many of its `deviceBlocks`, the last ones: what stays is a beginning that can be used again, and what stands behind a
   * discarded block is of no use. Where `adaptive` discards a context that has `hostBlocks`, it names those, not device blocks.
   */
  blocks: number;
  /** How many others are to be copied to the host while they stay, the last ones without a copy. 0 but under `adaptive`. */
  ahead: number;
}

/** `out`: from the device to the host; `in`: back. */
export type CopyDirection = 'out' | 'in';

const direction = oneOf('out', 'in');
const tokens = integer(0, 2 ** 24);
const blocks = integer(0, 2 ** 32 - 1);
const seconds = real(0, secondsMax);
const kind = { kind: nonEmptyString, shape: string };

const readOptions = required(
  {
    policy: oneOf(...policyNames),
    profile: costProfile,
    blockTokens: integer(1, 1024),
    windowTokens: integer(0, 2 ** 24),
    estimates,
  },
  'profile',
);
const readStep = required({ queryTokens: tokens, kvTokens: integer(0) }, 'queryTokens', 'kvTokens');
const readObservedStep = required(
  { queryTokens: tokens, kvTokens: integer(0), seconds },
  'queryTokens',
  'kvTokens',
  'seconds',
);
const readCopy = required({ direction, blocks }, 'direction', 'blocks');
const readObservedCopy = required({ direction, blocks, seconds }, 'direction', 'blocks', 'seconds');
const readTime = required({ direction, seconds }, 'direction', 'seconds');
const readSlice = required({ first: tokens, count: tokens }, 'first', 'count');
const readInterception = required({ ...kind, seconds }, 'kind', 'seconds');
const readWait = required({ ...kind, elapsedSeconds: seconds }, 'elapsedSeconds');
const readQuestion = required({ paused: anything<unknown>(), load: anything<unknown>() }, 'paused', 'load');

function eachRow<Row>({ contexts }: NativeDecisions, toRow: (row: number) => Row): Row[] {
  const rows: Row[] = [];
  for (let row = 0; row < contexts.length; row += 1) rows.push(toRow(row));
  return rows;
}

const wasteAt = ({ preserve, swap, discard }: NativeDecisions, row: number): Waste => ({
  preserve: preserve[row]!,
  swap: swap[row]!,
  discard: discard[row]!,
});

/**
 * Decides which paused contexts keep their device memory, and learns from what happens. All times are seconds. Nothing in it
 * has a clock or chance: the same calls give the same answers. It holds no thread and no handle; its memory (up to 4 MiB of
 * durations) goes with the object.
 *
 * ```ts
 * const core = new PolicyCore({ policy: 'adaptive', profile: deriveProfile(shape, accelerator) });
 * // At each step:
 * for (const { id, disposition, blocks } of core.decide({ paused, load })) giveUp(id, disposition, blocks);
 * // After it:
 * core.observeStep({ queryTokens, kvTokens, seconds });
 * ```
 */
export class PolicyCore {
  readonly #native: NativePolicy;
  readonly #profile: CostProfile;
  readonly #blockTokens: number;
  readonly #kinds = new KindTable();

  constructor(settings: PolicyCoreOptions) {
    const checked = readOptions(settings, '');
    this.#profile = checked.profile;
    this.#blockTokens = checked.blockTokens ?? 16;
    const native = {
      policy: checked.policy ?? 'adaptive',
      blockTokens: this.#blockTokens,
      windowTokens: checked.windowTokens ?? 0,
      bytesPerToken: checked.profile.bytesPerToken,
      saturationTokens: checked.profile.saturationTokens ?? 0,
      profile: toNativeProfile(checked.profile, this.#blockTokens),
      durations: toNativeDurations(checked.estimates, this.#kinds),
    };
    try {
      this.#native = new (loadNative().NativePolicy)(native);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Who gives up device memory in this step, in the order in which they should; contexts that are not named keep theirs.
   * Decisions are for this step: ask again at the next one, with what is left.
   *
   * - `swap` names all blocks, also beyond `hostBlocksFree`: what the host cannot take is to be discarded.
   * - `discard-requeue` decides as `discard`; a context that comes back is then to queue as if it were new.
   * - Under `infercept` the waste of preserving is by the elapsed time, the paper's estimate.
   *
   * On two virtual cores with other work besides, a question takes 15 µs, and per context 0.2 µs where nothing can come of it
   * (`preserve`; `adaptive` without `shortageBlocks` and `aheadBlocks`) and else 0.4; a decision takes up to 1 µs more (`npm run bench -- decide`).
   */
  decide<Id>(question: PolicyQuestion<Id>): PolicyDecision<Id>[] {
    const answers = this.#ask(question, 'decide');
    return eachRow(answers, (row) => ({
      id: question.paused[answers.contexts[row]!]!.id,
      disposition: dispositions[answers.dispositions[row]!]!,
      blocks: answers.blocks[row]!,
      ahead: answers.ahead[row]!,
      waste: wasteAt(answers, row),
      residualSeconds: answers.residualSeconds[row]!,
    }));
  }

  /** What every context costs in this situation, in their order: to explain a decision, or to decide otherwise. */
  weigh<Id>(question: PolicyQuestion<Id>): WeighedContext<Id>[] {
    const answers = this.#ask(question, 'weigh');
    return eachRow(answers, (row) => ({
      id: question.paused[row]!.id,
      waste: wasteAt(answers, row),
      residualSeconds: answers.residualSeconds[row]!,
    }));
  }

  #ask(question: PolicyQuestion, method: 'decide' | 'weigh'): NativeDecisions {
    const { paused, load } = readQuestion(question, '');
    return this.#native[method](toNativePaused(paused, 'paused', this.#kinds), toNativeLoad(load, 'load'));
  }

  /**
   * A step of `queryTokens` tokens, whose attention read `kvTokens` positions in all (see {@link kvReads}), took `seconds`.
   * The cost model follows: a machine that becomes half or twice as fast is known to within a tenth after 40 steps.
   */
  observeStep(step: { queryTokens: number; kvTokens: number; seconds: number }): void {
    this.#native.observeStep(readObservedStep(step, ''));
  }

  /** A copy of `blocks` blocks in one direction took `seconds`. */
  observeCopy(copy: { direction: CopyDirection; blocks: number; seconds: number }): void {
    this.#native.observeCopy(readObservedCopy(copy, ''));
  }

  /** An interception ended after `seconds`. */
  observeInterception(interception: InterceptionKind & { kind: string; seconds: number }): void {
    const checked = readInterception(interception, '');
    this.#native.observeInterception({
      ...this.#kinds.path(checked.kind, checked.shape),
      seconds: checked.seconds,
    });
  }

  /** How many seconds an interception that has lasted `elapsedSeconds` is expected to go on. */
  residual(wait: InterceptionKind & { elapsedSeconds: number }): number {
    const { elapsedSeconds, ...interception } = readWait(wait, '');
    return this.#native.residual({ ...findKind(this.#kinds, interception), seconds: elapsedSeconds });
  }

  /** Seconds that a step takes. */
  stepSeconds(step: { queryTokens: number; kvTokens: number }): number {
    return this.#native.stepSeconds(readStep(step, ''));
  }

  /** Seconds that a copy takes. */
  copySeconds(copy: { direction: CopyDirection; blocks: number }): number {
    return this.#native.copySeconds(readCopy(copy, ''));
  }

  /** Blocks that can be copied within `seconds`, at least 1. */
  copyBlocksWithin(copy: { direction: CopyDirection; seconds: number }): number {
    return this.#native.copyBlocksWithin(readTime(copy, ''));
  }

  /** Positions that attention reads for `count` tokens of a sequence that has `first` tokens already. Of a step: their sum. */
  kvReads(slice: { first: number; count: number }): number {
    return this.#native.kvReads(readSlice(slice, ''));
  }

  /** The profile with the costs as they are known now: for another core, or for `simulate`. */
  profile(): CostProfile {
    return withCosts(this.#profile, this.#native.costs(), this.#blockTokens);
  }

  /** Tokens per step beyond which step time grows in proportion. */
  get saturationTokens(): number {
    return this.#native.costs().saturationTokens;
  }

  /** By how much predictions of step times are off: the mean of |predicted - measured| / measured over recent steps. */
  get relativeError(): number {
    return this.#native.costs().relativeError;
  }

  /** What was learnt about durations, as plain JSON: for a file, another core, or `Engine.load`. */
  estimates(): Estimates {
    return parseEstimates(this.#native.durations(), this.#kinds.entries());
  }
}
