/**
 * The durable store of jobs: the truth about them, whatever happens to the program. `SqliteJobStore.layer` keeps it in
 * a file; `layerMemory` in memory.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Service } from "./JobStoreService.js"
import * as MemoryJobStore from "./store/MemoryJobStore.js"

export type * from "./JobStoreService.js"
export type { Contents, Options as MemoryOptions } from "./store/MemoryJobStore.js"

/** The store of jobs. */
export class JobStore extends Context.Tag("holdfast/job/JobStore")<JobStore, Service>() {}

/** Looks into a store in memory. */
export class StoreContents extends Context.Tag("holdfast/job/StoreContents")<
  StoreContents,
  Effect.Effect<MemoryJobStore.Contents>
>() {}

/** A store in memory with the same behaviour, which can be looked into. Each build of the layer is a new, empty one. */
export const layerMemory = (options: MemoryJobStore.Options = {}): Layer.Layer<JobStore | StoreContents> =>
  Layer.effectContext(
    Effect.sync(() => {
      const { contents, service } = MemoryJobStore.make(options)
      return Context.make(JobStore, service).pipe(Context.add(StoreContents, contents))
    }),
  )
