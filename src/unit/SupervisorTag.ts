/** The Tag of the supervisor. Its Layers are in `Supervisor`. */
import * as Context from "effect/Context"
import type { Service } from "./SupervisorService.js"

/** Keeps units up. */
export class Supervisor extends Context.Tag("holdfast/unit/Supervisor")<Supervisor, Service>() {}
