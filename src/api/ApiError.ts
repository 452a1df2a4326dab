/** What the API answers when it cannot do what it was asked: one envelope, and a code for each thing to do about it. */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as Schema from "effect/Schema"

/** The version of every answer's form. */
export const schemaVersion = "1" as const

/** The codes of errors. */
export const ErrorCode = Schema.Literal(
  "invalid_request",
  "invalid_state",
  "unauthorized",
  "forbidden",
  "not_found",
  "job_not_found",
  "unit_not_found",
  "unit_not_started",
  "unit_not_stopped",
  "config_invalid",
  "method_not_allowed",
  "request_timeout",
  "ambiguous_job_id",
  "payload_too_large",
  "internal_error",
  "unavailable",
  "store_full",
)
export type ErrorCode = typeof ErrorCode.Type

/** The status that goes with a code. A wrong content type is an `invalid_request` too, with the status 415. */
export const statusOf: Readonly<Record<ErrorCode, number>> = {
  invalid_request: 400,
  invalid_state: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  job_not_found: 404,
  unit_not_found: 404,
  // There is nothing wrong with the request; as the unit is, it can only come to the same again.
  unit_not_started: 409,
  unit_not_stopped: 500,
  config_invalid: 400,
  method_not_allowed: 405,
  request_timeout: 408,
  ambiguous_job_id: 409,
  payload_too_large: 413,
  internal_error: 500,
  unavailable: 503,
  store_full: 507,
}

/** Whether the same request may succeed later, unchanged. */
const isRetryable = (code: ErrorCode): boolean =>
  code === "request_timeout" || code === "unavailable" || code === "store_full"

/** What the documents say of every error. */
export const description = "Why a request was not done: a code for programs, and a sentence for people."

/** An error as it is answered. */
export const ErrorEnvelope = Schema.Struct({
  schema_version: Schema.Literal(schemaVersion),
  ok: Schema.Literal(false),
  type: Schema.Literal("error"),
  error: Schema.Struct({
    code: ErrorCode.annotations({ description: "A word for programs." }),
    message: Schema.String.annotations({ description: "One sentence for people." }),
    retryable: Schema.Boolean.annotations({
      description: "Whether the same request may succeed later, unchanged.",
    }),
  }).annotations({ description: "What went wrong." }),
}).annotations({ identifier: "ErrorEnvelope", description })
export type ErrorEnvelope = typeof ErrorEnvelope.Type

/** The API's refusal, on both of its sides: a handler fails with it, and so does the client that was answered it. */
export class ApiError extends Schema.TaggedError<ApiError>()("ApiError", {
  code: ErrorCode,
  message: Schema.String,
  retryable: Schema.Boolean,
  /** Of the answer. */
  status: Schema.Int,
}) {}

/** An error with the status and the retryability of its code, unless told otherwise. */
export const make = (
  code: ErrorCode,
  message: string,
  options: { readonly status?: number; readonly retryable?: boolean } = {},
): ApiError =>
  new ApiError({
    code,
    message,
    retryable: options.retryable ?? isRetryable(code),
    status: options.status ?? statusOf[code],
  })

/** The envelope of an error. */
export const envelope = ({ code, message, retryable }: ApiError): ErrorEnvelope => ({
  schema_version: schemaVersion,
  ok: false,
  type: "error",
  error: { code, message, retryable },
})

/** The error as answers with one status carry it: what an endpoint declares. */
export const answered = (status: number, words: string): Schema.Schema<ApiError, ErrorEnvelope> =>
  Schema.transform(ErrorEnvelope, Schema.typeSchema(ApiError), {
    strict: true,
    decode: ({ error }) => new ApiError({ ...error, status }),
    encode: envelope,
  }).annotations(HttpApiSchema.annotations({ status, description: words }))
