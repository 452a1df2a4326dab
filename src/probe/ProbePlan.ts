/**
 * A probe whose every question is settled: the defaults of its target filled in, the URL taken apart. What is missing
 * comes to light here, before anything is started.
 */
import * as Either from "effect/Either"
import { InvalidSpec, type Issue } from "../process/InvalidSpec.js"
import * as Mask from "../process/Mask.js"
import type { ProcessOutput } from "../process/ProcessOutput.js"
import { bare, bracketed, portOf } from "./Authority.js"
import type * as ProbeSpec from "./ProbeSpec.js"
import { hostAllowed, isHost, urlFault } from "./ProbeSpec.js"

/** What the probe is about: where the instance listens, what it writes, and where `exec` commands run. */
export interface Target {
  /** Port of `http` and `tcp` probes that name none. */
  readonly port?: number
  /** Host of `http` and `tcp` probes that name none. Default `localhost`. */
  readonly host?: string
  /** For `http` probes with a `path` only, instead of host and port: absolute, its path is put before the probe's. */
  readonly baseUrl?: string
  /** What `log` probes read. Attach before the process is spawned with it, so that no line is missed. */
  readonly output?: ProcessOutput
  /** Where `exec` probes run that do not say. Default: the program's own directory. */
  readonly cwd?: string
  /** Variables of `exec` probes. */
  readonly env?: Readonly<Record<string, string>>
  /** Names of variables whose values must never be shown. */
  readonly mask?: ReadonlyArray<string>
  /** The unit's name, passed on to processes of `exec` probes. */
  readonly unit?: string
}

/** An `http` probe, settled. */
export interface HttpPlan {
  readonly _tag: "Http"
  readonly spec: ProbeSpec.Http
  /** `GET http://host:port/path`; a query is not shown. */
  readonly subject: string
  readonly tls: boolean
  /** Without brackets. */
  readonly host: string
  readonly port: number
  /** With the query. */
  readonly path: string
  /** With `Host`. */
  readonly headers: Readonly<Record<string, string>>
}

/** A `tcp` probe, settled. */
export interface TcpPlan {
  readonly _tag: "Tcp"
  readonly subject: string
  readonly host: string
  readonly port: number
}

/** An `exec` probe, settled. */
export interface ExecPlan {
  readonly _tag: "Exec"
  readonly spec: ProbeSpec.Exec
  readonly target: Target
}

/** A `log` probe, settled. */
export interface LogPlan {
  readonly _tag: "Log"
  readonly pattern: RegExp
  readonly output: ProcessOutput
  /** Hides the target's masked values. */
  readonly redact: Mask.Redact
}

/** A composition, settled. */
export interface GroupPlan {
  readonly _tag: "All" | "Any"
  readonly plans: ReadonlyArray<ProbePlan>
}

/** A probe, settled. */
export type ProbePlan = HttpPlan | TcpPlan | ExecPlan | LogPlan | GroupPlan

/** For the Host header: a zone means something on this machine only. */
const withoutZone = (host: string): string => host.replace(/%.*/, "")

/** This program's environment and the target's over it: what the values of masked names may be. */
export const variablesOf = (target: Target): Record<string, string> => {
  const variables: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined) variables[name] = value
  return Object.assign(variables, target.env)
}

const redactOf = (target: Target): Mask.Redact =>
  target.mask === undefined || target.mask.length === 0
    ? (text) => text
    : Mask.make(target.mask, variablesOf(target))

const http = (spec: ProbeSpec.Http, tls: boolean, rawHost: string, port: number, path: string): HttpPlan => {
  const host = bare(rawHost)
  const name = bracketed(withoutZone(host))
  const authority = port === (tls ? 443 : 80) ? name : `${name}:${port}`
  const hasHost = Object.keys(spec.headers).some((name) => name.toLowerCase() === "host")
  return {
    _tag: "Http",
    spec,
    subject: `${spec.method} ${tls ? "https" : "http"}://${authority}${path.replace(/\?.*/, "?…")}`,
    tls,
    host,
    port,
    path,
    headers: {
      ...(!hasHost && { Host: authority }),
      Accept: "*/*",
      "Accept-Encoding": "identity",
      Connection: "close",
      ...spec.headers,
    },
  }
}

const httpAt = (spec: ProbeSpec.Http, text: string, path: string): HttpPlan => {
  const url = new URL(text)
  return http(spec, url.protocol === "https:", url.hostname, portOf(url), path)
}

/** The plan of a connection. */
export const tcp = (rawHost: string, port: number): TcpPlan => {
  const host = bare(rawHost)
  return { _tag: "Tcp", subject: `A connection to ${bracketed(host)}:${port}`, host, port }
}

/** Settles a probe, or says what its target lacks. */
export const make = (probe: ProbeSpec.Probe, target: Target): Either.Either<ProbePlan, InvalidSpec> => {
  const issues: Array<Issue> = []
  const miss = (field: string, allowed: string): undefined => {
    issues.push({ field, value: "nothing", allowed })
  }
  const probedPort = (spec: { readonly port?: number | undefined }, field: string): number | undefined => {
    const port = spec.port ?? target.port
    if (port === undefined)
      return miss(`${field}.port`, "expected a port, as the probe's target has none to take instead")
    if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port
    issues.push({
      field: `${field}.port`,
      value: String(port),
      allowed: "expected a port: a number from 1 to 65535",
    })
    return undefined
  }
  const hostOf = (spec: { readonly host?: string | undefined }, field: string): string => {
    const host = spec.host ?? target.host ?? "localhost"
    if (!isHost(host)) issues.push({ field: `${field}.host`, value: "a text", allowed: hostAllowed })
    return bare(host)
  }

  const planHttp = (spec: ProbeSpec.Http, field: string): HttpPlan | undefined => {
    if (spec.url !== undefined) {
      const { pathname, search } = new URL(spec.url)
      return httpAt(spec, spec.url, pathname + search)
    }
    const path = spec.path ?? "/"
    if (target.baseUrl !== undefined && spec.port === undefined && spec.host === undefined) {
      const allowed =
        urlFault(target.baseUrl) ??
        (target.baseUrl.includes("?") ? "expected a URL without a query" : undefined)
      if (allowed === undefined) {
        return httpAt(spec, target.baseUrl, new URL(target.baseUrl).pathname.replace(/\/+$/, "") + path)
      }
      issues.push({ field: "baseUrl", value: "a text", allowed })
      return undefined
    }
    const port = probedPort(spec, field)
    return port === undefined ? undefined : http(spec, false, hostOf(spec, field), port, path)
  }

  const settle = (probe: ProbeSpec.Probe, prefix: string): ProbePlan | undefined => {
    if (probe.http !== undefined) return planHttp(probe.http, `${prefix}http`)
    if (probe.tcp !== undefined) {
      const port = probedPort(probe.tcp, `${prefix}tcp`)
      if (port === undefined) return undefined
      return tcp(hostOf(probe.tcp, `${prefix}tcp`), port)
    }
    if (probe.exec !== undefined) return { _tag: "Exec", spec: probe.exec, target }
    if (probe.log !== undefined) {
      if (target.output === undefined)
        return miss(`${prefix}log`, "expected a target with output, as a log probe reads that")
      return {
        _tag: "Log",
        pattern: new RegExp(probe.log.pattern),
        output: target.output,
        redact: redactOf(target),
      }
    }
    const key = probe.all === undefined ? "any" : "all"
    const plans = (probe[key] ?? []).flatMap((one, index) => settle(one, `${prefix}${key}[${index}].`) ?? [])
    return { _tag: key === "all" ? "All" : "Any", plans }
  }

  const plan = settle(probe, "")
  return plan === undefined || issues.length > 0
    ? Either.left(new InvalidSpec({ what: "probe spec", issues }))
    : Either.right(plan)
}

/** The parts that connect somewhere, wherever they stand in a composition. */
export const networkParts = (plan: ProbePlan): ReadonlyArray<HttpPlan | TcpPlan> => {
  switch (plan._tag) {
    case "Http":
    case "Tcp":
      return [plan]
    case "All":
    case "Any":
      return plan.plans.flatMap(networkParts)
    default:
      return []
  }
}
