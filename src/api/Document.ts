/** The OpenAPI document of the contract. Loaded when somebody asks for it. */
import * as OpenApi from "@effect/platform/OpenApi"
import { Api } from "./Api.js"
import * as ApiError from "./ApiError.js"

const isOpen = (path: string): boolean => path === "/health"

const otherwise = {
  description:
    "Any other error, such as 404 `not_found`, 405 `method_not_allowed` or 431 for headers that are too large.",
  content: { "application/json": { schema: { $ref: "#/components/schemas/ApiError" } } },
}

/** What may be answered, in the order of the statuses: whoever needs no token is never told to bring one. */
const responsesOf = (path: string, responses: OpenApi.OpenAPISpecResponses) => ({
  ...Object.fromEntries(Object.entries(responses).filter(([status]) => !isOpen(path) || status !== "401")),
  default: otherwise,
})

/** The document, with what the contract itself does not say: the version, and who gets in. */
export const document = (version: string): OpenApi.OpenAPISpec => {
  const spec = OpenApi.fromApi(Api)
  const paths = Object.entries(spec.paths).map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [
        method,
        {
          ...operation,
          responses: responsesOf(path, operation.responses),
          security: isOpen(path) ? [] : [{ token: [] }],
        },
      ]),
    ),
  ])
  return {
    ...spec,
    info: { ...spec.info, version },
    paths: Object.fromEntries(paths),
    components: {
      ...spec.components,
      // It would have the words of the first answer that it is part of.
      schemas: {
        ...spec.components.schemas,
        ApiError: { ...spec.components.schemas["ApiError"]!, description: ApiError.description },
      },
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description: "The text in the file `token` in the daemon's root.",
        },
      },
    },
    security: [{ token: [] }],
  }
}
