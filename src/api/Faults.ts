/** What the errors of jobs, of units and of the event log are called on the wire. */
import type { InvalidJobId } from "../job/JobId.js"
import type { InvalidTransition } from "../job/JobRecord.js"
import type { InputClosed, LogUnusable } from "../job/RunnerError.js"
import type {
  AmbiguousJobId,
  JobNotEnded,
  JobNotFound,
  SecretsErased,
  StoreError,
} from "../job/StoreError.js"
import type { NoDescriptorLeft } from "../output/LogError.js"
import { InvalidSpec } from "../process/InvalidSpec.js"
import type { TableUnreadable } from "../process/ProcessTable.js"
import type {
  SupervisorClosed,
  UnitHasNoProcess,
  UnitNotFound,
  UnitNotStarted,
  UnitNotStopped,
} from "../unit/SupervisorError.js"
import * as ApiError from "./ApiError.js"
import { wireName } from "./ExecRequest.js"
import type { PlanRefused } from "./PlanSource.js"

/** What a use of the job runner, of the supervisor, or of the event log may fail with. */
export type Fault =
  | InvalidSpec
  | InvalidJobId
  | InvalidTransition
  | InputClosed
  | LogUnusable
  | AmbiguousJobId
  | JobNotEnded
  | JobNotFound
  | SecretsErased
  | StoreError
  | TableUnreadable
  | NoDescriptorLeft
  | UnitNotFound
  | UnitNotStarted
  | UnitNotStopped
  | UnitHasNoProcess
  | SupervisorClosed
  | PlanRefused

const codeOf = (fault: Fault): ApiError.ErrorCode => {
  switch (fault._tag) {
    case "InvalidSpec":
    case "InvalidJobId":
      return "invalid_request"
    case "InvalidTransition":
    case "InputClosed":
    case "JobNotEnded":
    case "SecretsErased":
    case "UnitHasNoProcess":
      return "invalid_state"
    case "JobNotFound":
      return "job_not_found"
    case "UnitNotFound":
      return "unit_not_found"
    case "UnitNotStarted":
      return "unit_not_started"
    case "UnitNotStopped":
      return "unit_not_stopped"
    case "PlanRefused":
      return "config_invalid"
    case "AmbiguousJobId":
      return "ambiguous_job_id"
    case "LogUnusable":
      return fault.isRequest ? "invalid_request" : "internal_error"
    case "TableUnreadable":
    case "NoDescriptorLeft":
    case "SupervisorClosed":
      return "unavailable"
    case "StoreFull":
      return "store_full"
    case "StoreCorrupt":
      return "internal_error"
    case "StoreFailed":
      return fault.retryable ? "unavailable" : "internal_error"
  }
}

/** Fields as the wire calls them. */
const renamed = (fault: InvalidSpec): InvalidSpec =>
  new InvalidSpec({
    what: fault.what,
    issues: fault.issues.map((issue) => ({ ...issue, field: wireName(issue.field) })),
  })

/** The error to answer. */
export const toApiError = (fault: Fault): ApiError.ApiError =>
  ApiError.make(codeOf(fault), (fault._tag === "InvalidSpec" ? renamed(fault) : fault).message)
