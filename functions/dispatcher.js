// Runs in workerd, in front of every deployment's function: finds the isolate that a request is for, or loads it.
//
// Our edge talks to it over a Unix socket and says in the request's cf blob which pipeline is meant. workerd takes
// that blob off the request, so no visitor can send one. What a function gets of us are the entrypoints below, each
// bound by its props to one pipeline: a capability, which a function can neither change nor make.

import { WorkerEntrypoint } from "cloudflare:workers";

const RUN_BY = "onehop";
const CACHE_HOST = "cache.onehop.invalid"; // what caches.js asks; no such name can exist (RFC 2606)
const SUBREQUESTS_MAX = 1000; // of a request; less for one that comes from a function, so that a fan of them dies out
const SPAN_MS = 30_000;
const budgets = new Map(); // pipeline -> { left, begun, since }
const tailed = new Map(); // pipeline -> Date.now() until which somebody watches

const ask = (env, what, init) => env.EDGE.fetch("http://edge.onehop.invalid/", { ...init, cf: what });

// workerd counts no subrequests, and nothing of a subrequest says which request it belongs to. So a pipeline has a
// budget: each of its requests adds to it, and what they leave of it lasts for a while.
function grant(pipeline, loops = 0) {
  const now = Date.now();
  let budget = budgets.get(pipeline);
  if (!budget) budgets.set(pipeline, (budget = { left: 0, begun: 0, since: now }));
  if (now - budget.since > SPAN_MS) {
    budget.left = Math.min(budget.left, budget.begun * SUBREQUESTS_MAX);
    budget.begun = 0;
    budget.since = now;
  }
  budget.begun += 1;
  budget.left += Math.floor(SUBREQUESTS_MAX / 10 ** loops);
}

function spend(pipeline) {
  const budget = budgets.get(pipeline);
  if (!(budget?.left > 0)) throw new Error("Too many subrequests.");
  budget.left -= 1;
}

// `env.ASSETS`, and what `next()` falls to: the assets of the pipeline that it was made for, whatever the URL's host.
export class Assets extends WorkerEntrypoint {
  fetch(request) {
    spend(this.ctx.props.pipeline);
    return this.env.EDGE.fetch(new Request(request, { cf: { assets: this.ctx.props.pipeline } }));
  }
}

// The way out: public addresses only (the network service sees to that), marked so that loops come to an end.
export class Outbound extends WorkerEntrypoint {
  fetch(request) {
    spend(this.ctx.props.pipeline);
    if (new URL(request.url).hostname === CACHE_HOST) {
      return this.env.EDGE.fetch(new Request(request, { cf: { cache: this.ctx.props.pipeline } }));
    }
    const marked = new Request(request);
    marked.headers.append("cdn-loop", RUN_BY);
    return this.env.INTERNET.fetch(marked);
  }
}

export class Watch extends WorkerEntrypoint {
  // Runs after every request, on the thread that the next one waits for: no promise where there is nothing to tell.
  tail(events) {
    const { pipeline } = this.ctx.props;
    const isTold = ({ outcome, logs, exceptions }) => outcome !== "ok" || logs.length || exceptions.length;
    const sent = tailed.get(pipeline) > Date.now() ? events : events.filter(isTold);
    return sent.length ? ask(this.env, { events: pipeline }, { method: "POST", body: JSON.stringify(sent) }) : undefined;
  }
}

async function load(env, ctx, pipeline) {
  const answer = await ask(env, { code: pipeline });
  if (!answer.ok) throw new Error(await answer.text());
  return loaded(ctx, pipeline, await answer.json());
}

function loaded(ctx, pipeline, { kv, bytes, ...code }) {
  for (const [name, kind, base64] of bytes) code.modules[name] = { [kind]: Uint8Array.fromBase64(base64).buffer };
  for (const [name, namespace] of kv) code.env[name] = ctx.exports.Kv({ props: { namespace, pipeline } });
  code.env.ASSETS = ctx.exports.Assets({ props: { pipeline } });
  return {
    ...code,
    globalOutbound: ctx.exports.Outbound({ props: { pipeline } }),
    tails: [ctx.exports.Watch({ props: { pipeline } })],
  };
}

// Whether a bundle starts: its modules are run, no handler of it is. In a process of its own (trial.py).
async function attempt(request, env, ctx) {
  const code = loaded(ctx, "trial", await request.json());
  try {
    return await env.LOADER.get("trial", () => code).getEntrypoint("onehopTrial").fetch(request.url);
  } catch (error) {
    return new Response(String(error?.message ?? error).slice(0, 2000), { status: 500 });
  }
}

export default {
  async fetch(request, env, ctx) {
    const { pipeline, cf, watchedUntil, loops, trial } = request.cf ?? {};
    if (trial) return attempt(request, env, ctx);
    if (!pipeline) return new Response(null, { status: 204 }); // a heartbeat
    grant(pipeline, loops);
    if (watchedUntil) tailed.set(pipeline, watchedUntil);
    try {
      const worker = env.LOADER.get(pipeline, () => load(env, ctx, pipeline));
      return await worker.getEntrypoint().fetch(new Request(request, { cf }));
    } catch (error) {
      const text = String(error?.message ?? error);
      // Of what a function throws its watch tells; of one that didn't start nobody else does.
      const outcome = text.startsWith("Failed to start Worker") ? "unstarted" : "exception";
      return new Response(text.slice(0, 2000), { status: 500, headers: { "onehop-outcome": outcome } });
    }
  },
};

// A KV namespace. The store behind it is our edge's; what follows is the interface that functions know.
export class Kv extends WorkerEntrypoint {
  async #ask(operation, options = {}, body = undefined) {
    spend(this.ctx.props.pipeline);
    const answer = await ask(
      this.env,
      { kv: this.ctx.props.namespace, operation, ...options },
      body === undefined ? {} : { method: "PUT", body },
    );
    if (!answer.ok && answer.status !== 404) {
      throw new Error(`KV ${operation.toUpperCase()} failed: ${answer.status} ${await answer.text()}`);
    }
    return answer;
  }

  async get(key, options) {
    if (Array.isArray(key)) return this.#getEach(key, options, (entry) => entry.value);
    return (await this.getWithMetadata(key, options)).value;
  }

  async getWithMetadata(key, options) {
    if (Array.isArray(key)) return this.#getEach(key, options, ({ value, metadata }) => ({ value, metadata }));
    const answer = await this.#ask("get", { key: named(key) });
    if (answer.status === 404) return { value: null, metadata: null, cacheStatus: null };
    const metadata = answer.headers.get("onehop-metadata");
    return {
      value: await valueOf(answer, typeof options === "string" ? options : options?.type),
      metadata: metadata && JSON.parse(new TextDecoder().decode(Uint8Array.fromBase64(metadata, { alphabet: "base64url" }))),
      cacheStatus: null,
    };
  }

  async #getEach(keys, options, shape) {
    if (keys.length > 100) throw new Error("KV GET failed: at most 100 keys at once");
    const entries = await Promise.all(keys.map((key) => this.getWithMetadata(key, options)));
    return new Map(keys.map((key, index) => [key, entries[index].value === null ? null : shape(entries[index])]));
  }

  async put(key, value, { expiration, expirationTtl, metadata } = {}) {
    const isBytes = value instanceof ArrayBuffer || ArrayBuffer.isView(value) || value instanceof ReadableStream;
    const body = isBytes ? (value instanceof ReadableStream ? await new Response(value).arrayBuffer() : value) : `${value}`;
    await this.#ask("put", { key: named(key), expiration: number(expiration), expirationTtl: number(expirationTtl), metadata }, body);
  }

  async delete(key) {
    for (const each of Array.isArray(key) ? key : [key]) await this.#ask("delete", { key: named(each) });
  }

  async list({ prefix, limit, cursor } = {}) {
    return (await this.#ask("list", { prefix, limit: number(limit), cursor })).json();
  }
}

const named = (key) => {
  if (typeof key !== "string") throw new TypeError("KV: a key must be a string");
  return key;
};
const number = (value) => (value === undefined || value === null ? undefined : Number(value));
const valueOf = (answer, type) => {
  switch (type) {
    case "json":
      return answer.json();
    case "arrayBuffer":
      return answer.arrayBuffer();
    case "stream":
      return answer.body;
    default:
      return answer.text();
  }
};
