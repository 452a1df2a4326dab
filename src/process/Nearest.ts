/** The known word that a mistyped one was most likely meant to be. */

/**
 * The nearest of `known` by edits of one letter (insert, delete, replace, swap of neighbours), whatever its case and
 * leading dashes; `undefined` when more than a third of the word would have to change, because a far-fetched guess
 * helps nobody.
 */
export const nearest = (word: string, known: ReadonlyArray<string>): string | undefined => {
  const meant = bare(word)
  let best: string | undefined
  let least = Math.floor(meant.length / 3) + 1
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) > least + 2) continue
    const edits = distance(meant, bare(candidate))
    if (edits < least) [best, least] = [candidate, edits]
  }
  return best
}

const bare = (word: string): string => word.replace(/^-+/, "").toLowerCase()

/** The optimal string alignment distance. */
const distance = (a: string, b: string): number => {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const replace = rows[i - 1]![j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)
      const swap =
        i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? rows[i - 2]![j - 2]! + 1 : Infinity
      row.push(Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, replace, swap))
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
