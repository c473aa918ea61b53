// What the paper (InferCept, ICML 2024) reports, to stand beside what is simulated here.

/** Sustained load over vLLM's (`discard-requeue` here). */
export const paperLoads: Partial<Record<string, number>> = {
  'a100-gpt-j-6b': 1.6,
  'a100-vicuna-13b': 1.25,
  '2xa100-vicuna-13b': 1.8,
  '4xa100-llama3-70b': 2,
};

/** Figure 3: the mix at 2 requests per second; by how much each step lowers the latency that is left, and the waste after it. */
export interface PaperStep {
  reduction?: number;
  waste: number;
}

export const paperSteps = {
  vllm: { waste: 0.25 },
  arrivalOrder: { reduction: 0.245, waste: 0.2 },
  chunking: { reduction: 0.078, waste: 0.21 },
  budgetedSwap: { reduction: 0.127, waste: 0.1 },
  preserve: { reduction: 0.461, waste: 0.015 },
  minWaste: { reduction: 0.464, waste: 0.0069 },
} as const satisfies Record<string, PaperStep>;

export const paperStepsRate = 2;
