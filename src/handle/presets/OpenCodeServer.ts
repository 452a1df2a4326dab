/** An OpenCode server that answered, and what it can be asked. */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { ServerInfo } from "../ServerStatus.js"
import * as ModelLimits from "./ModelLimits.js"

/** A server as the handle gives it. It is never changed; another life of the server is another one. */
export class OpenCodeServer extends ServerInfo {
  #limits: Effect.Effect<ModelLimits.ModelLimits> = Effect.succeed(ModelLimits.none)

  /** The server of this description, asked with these headers. */
  static of(info: ServerInfo, headers: Readonly<Record<string, string>>): OpenCodeServer {
    const server = new OpenCodeServer(info)
    server.#limits = readOnce(info, headers)
    return server
  }

  /**
   * How much context each model takes, in tokens, by the id of the provider, then that of the model. Read from the
   * server's provider list when it is first asked for, and kept: the list has megabytes, and takes the server seconds
   * during which it answers nothing else. When it cannot be read there are no limits, a warning is logged, and the next
   * one who asks tries again.
   */
  get modelLimits(): Effect.Effect<ModelLimits.ModelLimits> {
    return this.#limits
  }

  /** How much context a model takes, in tokens; nothing when that is not known. */
  contextLimit(provider: string, model: string): Effect.Effect<Option.Option<number>> {
    return Effect.map(this.#limits, (limits) => Option.fromNullable(limits.get(provider)?.get(model)))
  }
}

/** Whoever asks meanwhile waits; when the one who reads is interrupted the next one does. */
const readOnce = (
  { baseUrl, name }: ServerInfo,
  headers: Readonly<Record<string, string>>,
): Effect.Effect<ModelLimits.ModelLimits> => {
  const oneAtATime = Effect.unsafeMakeSemaphore(1)
  let kept: ModelLimits.ModelLimits | undefined
  return Effect.suspend(() => {
    if (kept !== undefined) return Effect.succeed(kept)
    return Effect.tap(ModelLimits.read(baseUrl, headers), (limits) =>
      Effect.sync(() => {
        kept = limits
      }),
    ).pipe(
      Effect.catchAll((reason) =>
        Effect.as(
          Effect.logWarning(`The model limits of ${name} cannot be read, and count as not known. ${reason}`),
          ModelLimits.none,
        ),
      ),
    )
  }).pipe(oneAtATime.withPermits(1))
}
