/** The OpenAPI document of the contract. Loaded when somebody asks for it. */
import * as OpenApi from "@effect/platform/OpenApi"
import { Api } from "./Api.js"

/** The document, with what the contract itself does not say: the version, and who gets in. */
export const document = (version: string): OpenApi.OpenAPISpec => {
  const spec = OpenApi.fromApi(Api)
  const paths = Object.entries(spec.paths).map(([path, methods]) => [
    path,
    Object.fromEntries(
      Object.entries(methods).map(([method, operation]) => [
        method,
        { ...operation, security: path === "/health" ? [] : [{ token: [] }] },
      ]),
    ),
  ])
  return {
    ...spec,
    info: { ...spec.info, version },
    paths: Object.fromEntries(paths),
    components: {
      ...spec.components,
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
