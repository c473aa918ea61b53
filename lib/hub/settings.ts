import { homedir } from 'node:os';
import { join } from 'node:path';

/** What the environment says about the hub: the variables of Hugging Face's own libraries. */
export interface HubSettings {
  url: string;
  /** Sent to the hub, and to nobody that it refers to. */
  token: string | undefined;
  /** Whether to do with what is in the cache. */
  offline: boolean;
  /** Shared with Hugging Face's own libraries. */
  cacheDirectory: string;
}

type Environment = Readonly<Record<string, string | undefined>>;

export function hubSettings(environment: Environment = process.env): HubSettings {
  const set = (name: string): string | undefined => environment[name]?.trim() || undefined;
  const home = set('HF_HOME') ?? join(set('XDG_CACHE_HOME') ?? join(homedir(), '.cache'), 'huggingface');
  return {
    url: (set('HF_ENDPOINT') ?? 'https://huggingface.co').replace(/\/+$/, ''),
    token: set('HF_TOKEN') ?? set('HUGGING_FACE_HUB_TOKEN'),
    offline: /^(1|on|yes|true)$/i.test(set('HF_HUB_OFFLINE') ?? ''),
    cacheDirectory: set('HF_HUB_CACHE') ?? set('HUGGINGFACE_HUB_CACHE') ?? join(home, 'hub'),
  };
}
