/** What stands in `holdfast.yaml`, as one schema: units and groups by name. */
import * as Schema from "effect/Schema"
import { Group, UnitSpec } from "../unit/UnitSpec.js"

/** Keys at the top that begin with this hold anything: a place for anchors. */
export const extension = "x-"

/** The whole file. Names are checked with the plan, all at once. */
export const ConfigSchema = Schema.Struct({
  /** What the supervisor keeps. */
  units: Schema.Record({ key: Schema.String, value: UnitSpec }),
  /** Units that go down together. Default none. */
  groups: Schema.optionalWith(Schema.Record({ key: Schema.String, value: Group }), { exact: true }),
}).annotations({ identifier: "Config" })
