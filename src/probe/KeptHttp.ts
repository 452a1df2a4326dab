/**
 * The `http` probe of a server that has answered before: over connections that are kept open, so that to ask it again
 * costs no more than a request. A pass counts; all else is asked once more, over a connection of its own. Where many ask
 * at once, one question serves all who came before it was put.
 */
import { Agent } from "node:http"
import { Agent as TlsAgent } from "node:https"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Scope from "effect/Scope"
import { isAddress, type Resolve } from "./AddressResolver.js"
import * as HttpExchange from "./HttpExchange.js"
import * as HttpProbe from "./HttpProbe.js"
import type { HttpPlan } from "./ProbePlan.js"
import { type Passed, ProbeFailure } from "./ProbeResult.js"

/** So many questions are put at the same time, each over its own connection. */
const atOnce = 8

// A timer of Node cannot wait longer; a larger number would fire at once.
const longestTimer = 2 ** 31 - 1

/** With the connection kept, unless the spec says otherwise. */
const keptHeaders = ({ headers, spec }: HttpPlan): HttpPlan["headers"] =>
  Object.keys(spec.headers).some((name) => name.toLowerCase() === "connection")
    ? headers
    : { ...headers, Connection: "keep-alive" }

const late = ({ subject }: HttpPlan, timeout: number): ProbeFailure =>
  new ProbeFailure({
    kind: "http",
    subject,
    reason: `timed out after ${Duration.format(Duration.millis(timeout))}: no answer came over a connection that was kept`,
    class: "timeout",
    transient: true,
    contact: "connected",
  })

const closed = ({ subject }: HttpPlan): ProbeFailure =>
  new ProbeFailure({
    kind: "http",
    subject,
    reason: "was not answered: nobody is to ask it any more",
    class: "error",
    transient: true,
    contact: "none",
  })

type Verdict = Exit.Exit<unknown, ProbeFailure>

/** One who waits for a verdict. */
type Asker = (verdict: Verdict) => void

/** What a server is asked by. */
interface Means {
  readonly plan: HttpPlan
  /** Of each question, in milliseconds. */
  readonly timeout: number
  /** Answers for names. */
  readonly resolve: Resolve
  /** Asks over a connection of its own, within so many milliseconds. */
  readonly fresh: (timeout: number) => Effect.Effect<Passed, ProbeFailure>
}

/** One question on behalf of those who came before it was put, and what cancels it. */
class Question {
  private cancel: () => void

  constructor(
    private readonly means: Means,
    readonly askers: Set<Asker>,
    options: HttpExchange.Options,
    private readonly onEnd: () => void,
  ) {
    const { plan, timeout } = means
    const start = performance.now()
    const isOne = isAddress(plan.host)
    const askAnew = (): void => this.askAnew(Math.max(1, timeout - (performance.now() - start)))
    let turn: NodeJS.Immediate | undefined
    const stop = HttpExchange.start(plan, options, (answer) => {
      forget()
      if (answer !== undefined && HttpProbe.judge(plan.spec, answer).passed) this.settle(Exit.void)
      else askAnew()
    })
    const onTime = (): void => {
      stop()
      if (isOne) this.settle(Exit.fail(late(plan, timeout)))
      else askAnew()
    }
    // A name may have another address, which has to have its chance.
    const share = Math.min(isOne ? timeout : timeout / 2, longestTimer)
    // When this program itself was held up, the answer may be waiting: let it be read first.
    const timer = setTimeout(() => void (turn = setImmediate(onTime)), share)
    const forget = (): void => {
      clearTimeout(timer)
      clearImmediate(turn)
    }
    this.cancel = () => {
      forget()
      stop()
    }
  }

  /** One does not wait any more. */
  leave(asker: Asker): void {
    if (this.askers.delete(asker) && this.askers.size === 0) this.end(Exit.void)
  }

  /** Ends it, with a verdict for those who wait. */
  end(verdict: Verdict): void {
    this.cancel()
    this.settle(verdict)
  }

  private askAnew(timeout: number): void {
    this.cancel = Effect.runCallback(this.means.fresh(timeout), {
      onExit: (exit) => {
        if (!Exit.isInterrupted(exit)) this.settle(exit)
      },
    })
  }

  private settle(verdict: Verdict): void {
    for (const asker of this.askers) asker(verdict)
    this.askers.clear()
    this.onEnd()
  }
}

/** The questions to one server. */
class Questions {
  private readonly running = new Set<Question>()
  /** Those who came when enough was asked already. */
  private waiting = new Set<Asker>()
  private readonly options: HttpExchange.Options
  private readonly agent: Agent
  private isClosed = false

  constructor(private readonly means: Means) {
    const { plan, resolve } = means
    this.agent = new (plan.tls ? TlsAgent : Agent)({
      keepAlive: true,
      maxSockets: atOnce,
      scheduling: "lifo",
    })
    this.options = { agent: this.agent, cap: HttpProbe.bodyCap, headers: keptHeaders(plan), resolve }
  }

  /** Returns what ends the wait. */
  ask(asker: Asker): () => void {
    const { waiting } = this
    waiting.add(asker)
    this.put()
    return () => {
      for (const question of this.running) if (question.askers === waiting) return question.leave(asker)
      waiting.delete(asker)
    }
  }

  /** Nothing is asked any more, and whoever waits is told so. */
  close(): void {
    this.isClosed = true
    for (const question of this.running) question.end(Exit.fail(closed(this.means.plan)))
    this.put()
    this.agent.destroy()
  }

  private put(): void {
    if (this.waiting.size === 0 || this.running.size >= atOnce) return
    const askers = this.waiting
    this.waiting = new Set()
    if (this.isClosed) {
      for (const asker of askers) asker(Exit.fail(closed(this.means.plan)))
      return
    }
    const question: Question = new Question(this.means, askers, this.options, () => {
      this.running.delete(question)
      this.put()
    })
    this.running.add(question)
  }
}

/**
 * A check that may be run again and again, by many at once: each gets the verdict of a question that was put after it came,
 * and 8 are put at the same time; who comes beyond that shares the next one. It is over within the timeout of the
 * question, and may have to wait as long for it to be put. Connections are closed with the scope.
 */
export const make = (means: Means): Effect.Effect<Effect.Effect<void, ProbeFailure>, never, Scope.Scope> => {
  let questions: Questions | undefined
  const check = Effect.async<void, ProbeFailure>((resume) => {
    questions ??= new Questions(means)
    return Effect.sync(questions.ask((verdict) => resume(Exit.asVoid(verdict))))
  })
  return Effect.as(
    Effect.addFinalizer(() => Effect.sync(() => questions?.close())),
    check,
  )
}
