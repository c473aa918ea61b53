/**
 * Long work on the event loop's own thread, in slices: between two of them everything else gets its turn. All work of the
 * process takes turns in one queue, so that many texts at once block no longer than one.
 */

/** With the longest step and a collection of garbage below the 10 ms that one may notice; well above what a turn of the event loop costs. */
const sliceMs = 2;

export interface SlicedWork {
  /** Each step is short. */
  steps: Iterator<void>;
  /** Called before each slice. What it throws ends the work. */
  check(): void;
}

interface Job extends SlicedWork {
  resolve(): void;
  reject(error: unknown): void;
}

const jobs: Job[] = [];

/** Resolves when all steps were taken; rejects with what a step or the check throws. */
export function runInSlices(work: SlicedWork): Promise<void> {
  return new Promise((resolve, reject) => {
    jobs.push({ ...work, resolve, reject });
    if (jobs.length === 1) setImmediate(runSlice);
  });
}

/** One slice of the first job, which then goes to the end of the queue. */
function runSlice(): void {
  const job = jobs.shift()!;
  try {
    job.check();
    if (takeSteps(job.steps)) job.resolve();
    else jobs.push(job);
  } catch (error) {
    job.reject(error);
  }
  if (jobs.length > 0) setImmediate(runSlice);
}

/** Whether all steps were taken. */
function takeSteps(steps: Iterator<void>): boolean {
  const end = performance.now() + sliceMs;
  while (performance.now() < end) if (steps.next().done) return true;
  return false;
}
