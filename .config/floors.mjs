/**
 * The lint rule `holdfast/floors`: an import stays in its own folder of src/ or goes to a lower one, never up. Above
 * all floors stand the files of src/ itself, index.ts and main.ts.
 */
import * as path from "node:path"

/** From the ground up. */
const floors = ["process", "probe", "output", "event", "job", "unit", "handle", "config", "api", "cli"]

const create = (context) => {
  const file = context.filename
  const [, root] = /^(.*\/src)\//.exec(file) ?? []
  if (root === undefined) return {}

  const level = (of) => {
    const [folder, ...below] = path.relative(root, of).split(path.sep)
    return below.length === 0 ? floors.length : floors.indexOf(folder)
  }
  const here = level(file)

  const check = (node) => {
    const specifier = node?.value
    if (typeof specifier !== "string") return
    if (/^holdfast(\/|$)/.test(specifier)) {
      context.report({ node, message: `Import "${specifier}" by its path: floors are told by folders.` })
      return
    }
    if (!specifier.startsWith(".")) return
    const target = path.resolve(path.dirname(file), specifier)
    if (!target.startsWith(root + path.sep)) {
      context.report({
        node,
        message: `"${specifier}" is outside of src/: the package would not contain it.`,
      })
    } else if (level(target) === -1) {
      context.report({
        node,
        message: `"${specifier}" is on no floor: name its folder in .config/floors.mjs.`,
      })
    } else if (level(target) > here) {
      context.report({
        node,
        message: `${path.relative(root, file)} imports "${specifier}", which is above it: imports never go up (${floors.join(" < ")} < index, main).`,
      })
    }
  }

  return {
    Program: (node) => {
      if (here === -1) {
        context.report({ node, message: "This folder is on no floor: give it one in .config/floors.mjs." })
      }
    },
    ImportDeclaration: (node) => check(node.source),
    ImportExpression: (node) => check(node.source),
    ExportNamedDeclaration: (node) => check(node.source),
    ExportAllDeclaration: (node) => check(node.source),
    TSImportType: (node) => check(node.source),
  }
}

export default { meta: { name: "holdfast" }, rules: { floors: { create } } }
