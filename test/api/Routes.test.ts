/** From a method and a path to an endpoint. */
import * as HttpApi from "@effect/platform/HttpApi"
import { describe, expect, it } from "@effect/vitest"
import { Api } from "../../src/api/Api.js"
import * as Routes from "../../src/api/Routes.js"

const endpoints: Array<{ readonly name: string; readonly method: string; readonly path: string }> = []
HttpApi.reflect(Api, {
  onGroup: () => undefined,
  onEndpoint: ({ endpoint: { method, name, path } }) => void endpoints.push({ name, method, path }),
})

const found = (method: string, path: string) => {
  const one = Routes.find(method, path)
  return one._tag === "Route" ? [one.route.name, one.parameters] : [one._tag]
}

const allowed = (method: string, path: string) => {
  const one = Routes.find(method, path)
  return one._tag === "WrongMethod" ? one.allow : one._tag
}

describe("the router", () => {
  it("finds every endpoint of the contract, whatever its parameter is", () => {
    expect(endpoints.length).toBeGreaterThan(37)
    for (const { method, name, path } of endpoints) {
      const [parameter] = [...path.matchAll(/:(\w+)/g)].map(([, one]) => one!)
      if (parameter === undefined) {
        expect(found(method, path)).toEqual([name, {}])
        continue
      }
      // Among them words that the contract has elsewhere.
      for (const value of ["x", "start", "follow", "units", "..", "a/b", "a b", "→", ""])
        expect([name, ...found(method, path.replace(/:\w+/, encodeURIComponent(value)))]).toEqual([
          name,
          name,
          { [parameter]: value },
        ])
    }
  })

  it("finds nothing where there is nothing", () => {
    for (const path of [
      "/",
      "",
      "*",
      "//",
      "///",
      "/unit",
      "/units/",
      "/units/web/",
      "/units/web/start/",
      "/units/web/start/x",
      "/units/web/x/start",
      "/units/start/web",
      "/units//",
      "/Units",
      "/jobs/x/y",
      "/events/x",
      "/events/follow/x",
      "/health/",
      "/reload/x",
      "/constructor",
      "/__proto__/x",
    ])
      expect([path, ...found("POST", path)]).toEqual([
        path,
        ...(path === "/units/" ? ["WrongMethod"] : ["Nothing"]),
      ])
    expect(found("GET", "/units/")).toEqual(["unit", { name: "" }])
    expect(found("GET", "/units//why")).toEqual(["whyUnit", { name: "" }])
  })

  it("says which methods there are", () => {
    expect(allowed("PUT", "/units")).toBe("GET, HEAD, POST")
    expect(allowed("POST", "/units/web")).toBe("GET, HEAD")
    for (const what of ["start", "stop", "restart", "kill"])
      expect([what, allowed("GET", `/units/web/${what}`)]).toEqual([what, "POST"])
    for (const what of ["why", "logs"])
      expect([what, allowed("DELETE", `/units/web/${what}`)]).toEqual([what, "GET, HEAD"])
    expect(found("HEAD", "/units/web/logs")).toEqual(["unitLogs", { name: "web" }])
    // It would only hang.
    expect(allowed("HEAD", "/units/web/follow")).toBe("GET")
  })

  it("does not take what is wrongly encoded", () => {
    for (const path of ["/units/%zz", "/units/%/start", "/units/%c3%28/why", "/status/%e0%a4"])
      expect([path, ...found(path.endsWith("start") ? "POST" : "GET", path)]).toEqual([path, "BadPath"])
    expect(found("POST", "/units/web/%73tart")).toEqual(["Nothing"])
  })
})
