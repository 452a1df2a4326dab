/** The method and the path of each endpoint of the API, such as `status: "GET /status/:id"`, out of its `HttpApi` value. */
import * as fs from "node:fs"
import * as path from "node:path"
import { fileURLToPath, pathToFileURL } from "node:url"
import * as HttpApi from "@effect/platform/HttpApi"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))

/** Reads them off a value. */
export const routesOf = (api) => {
  const routes = {}
  HttpApi.reflect(api, {
    onGroup: () => {},
    onEndpoint: ({ endpoint }) => {
      routes[endpoint.name] = `${endpoint.method} ${endpoint.path}`
    },
  })
  return routes
}

/** Reads them off the value in src/; `scratch` is a directory under this one, from which packages are found. */
export const routes = async (scratch) => {
  const outfile = path.join(scratch, "api.mjs")
  const entry = path.join(root, "src/api/Api.ts")
  const options = { bundle: true, platform: "node", format: "esm", packages: "external", logLevel: "warning" }
  await build({ absWorkingDir: root, entryPoints: [entry], outfile, ...options })
  try {
    const { Api } = await import(pathToFileURL(outfile).href)
    return routesOf(Api)
  } finally {
    fs.rmSync(outfile, { force: true })
  }
}
