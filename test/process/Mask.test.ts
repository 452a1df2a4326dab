import { assert, describe, it } from "@effect/vitest"
import * as Mask from "../../src/process/Mask.js"

describe("the replacer for a description that is still to be checked", () => {
  const env = { TOKEN: "t0p-secret", PIN: 4711, NAME: "web" }

  it("hides the values that it names, numbers too, and nothing else", () => {
    const redact = Mask.ofInput({ env, mask: ["TOKEN", "PIN"] })
    assert.strictEqual(redact("web t0p-secret 4711"), "web *** ***")
    assert.strictEqual(Mask.ofInput({ env })("web t0p-secret"), "web t0p-secret")
  })

  it("hides inherited values, unless the description sets the variable itself", () => {
    const path = process.env["PATH"]!
    assert.strictEqual(Mask.ofInput({ mask: ["PATH"] })(`PATH=${path}`), "PATH=***")
    assert.strictEqual(Mask.ofInput({ env: { PATH: "/own" }, mask: ["PATH"] })(`${path} /own`), `${path} ***`)
  })

  it("takes whatever comes", () => {
    const inputs = [undefined, null, 7, "text", [], { mask: "TOKEN" }, { mask: [7, null, "A"], env: 7 }]
    for (const input of [...inputs, { mask: ["A"], env: ["x"] }, { mask: ["A"], env: { A: { b: 1 } } }])
      assert.strictEqual(Mask.ofInput(input)("a text"), "a text")
  })
})
