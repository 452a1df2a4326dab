/** What the errors of jobs and of the event log are called on the wire. */
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
import * as ApiError from "./ApiError.js"
import { wireName } from "./ExecRequest.js"

/** What a use of the job runner, or of the event log, may fail with. */
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

const codeOf = (fault: Fault): ApiError.ErrorCode => {
  switch (fault._tag) {
    case "InvalidSpec":
    case "InvalidJobId":
      return "invalid_request"
    case "InvalidTransition":
    case "InputClosed":
    case "JobNotEnded":
    case "SecretsErased":
      return "invalid_state"
    case "JobNotFound":
      return "job_not_found"
    case "AmbiguousJobId":
      return "ambiguous_job_id"
    case "LogUnusable":
      return fault.isRequest ? "invalid_request" : "internal_error"
    case "TableUnreadable":
    case "NoDescriptorLeft":
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
