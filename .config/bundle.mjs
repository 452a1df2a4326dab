/** Makes programs of TypeScript files that are not part of the package: the benches, and what beats it. */
import * as path from "node:path"
import { fileURLToPath } from "node:url"
import { build } from "esbuild"

const root = fileURLToPath(new URL("..", import.meta.url))

/** Bundles the files of a folder into `node_modules/.cache/NAME`; resolves to that directory. */
export const bundle = async (folder, names, name) => {
  const outdir = path.join(root, "node_modules/.cache", name)
  await build({
    absWorkingDir: root,
    entryPoints: names.map((one) => `${folder}/${one}.ts`),
    outdir,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    packages: "external",
    platform: "node",
    target: "node20",
    format: "esm",
    sourcemap: "inline",
  })
  return outdir
}
