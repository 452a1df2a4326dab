/**
 * The records that were read or written last: jobs that are being run change several times within a short while, and
 * whoever waits for one asks again and again. A record is never changed in place, so that one may be handed out.
 */
import type { JobRecord } from "../JobRecord.js"

/** So many are kept; one has about 2 kB. */
const most = 1_000

/** Records by id, the one that was used longest ago being the first to go. */
export class RecordCache {
  private readonly records = new Map<string, JobRecord>()

  get(id: string): JobRecord | undefined {
    const record = this.records.get(id)
    if (record !== undefined) {
      this.records.delete(id)
      this.records.set(id, record)
    }
    return record
  }

  set(record: JobRecord): void {
    this.records.delete(record.id)
    this.records.set(record.id, record)
    if (this.records.size > most) this.records.delete(this.records.keys().next().value!)
  }

  delete(id: string): void {
    this.records.delete(id)
  }

  /** What was changed by a transaction that is undone must not be believed. */
  clear(): void {
    this.records.clear()
  }
}
