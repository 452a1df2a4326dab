/** What the groups of endpoints have in common when they say what an endpoint does and answers. */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"

/** What the documents say of an endpoint. */
export const describe = (summary: string, description?: string) =>
  OpenApi.annotations({ summary, description })

/** Server-sent events, which the derived client does not read: see `EventFollow`. */
export const EventStream = HttpApiSchema.Text({ contentType: "text/event-stream" })
