/** Programs that use the built library in a process of their own, for tests that must kill, limit or starve them. */
import { pathToFileURL } from "node:url"
import { resolve } from "node:path"
import * as Effect from "effect/Effect"
import { ProcessSpawner } from "../../src/process/ProcessSpawner.js"

const library = pathToFileURL(resolve("dist/process/ProcessSpawner.js")).href
const effect = (name: string) => `import * as ${name} from "effect/${name}"`

/** The text of a module that runs `body`, a generator's, with a spawner and a scope. */
export const distProgram = (body: string): string => `
${["Context", "Effect", "Exit", "Layer", "Scope"].map(effect).join("\n")}
import * as ProcessSpawner from "${library}"
await Effect.runPromise(Effect.gen(function* () {
${body}
}).pipe(Effect.scoped, Effect.provide(ProcessSpawner.layer)))
`

/** Runs a command and gives all that it wrote. */
export const runToEnd = (command: [string, ...Array<string>], ...args: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const spawner = yield* ProcessSpawner
    const child = yield* spawner.spawn({ command: [...command, ...args] })
    yield* child.exit
    yield* child.output.ended
    return child.output.tail()
  })
