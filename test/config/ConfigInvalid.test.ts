import { assert, describe, it } from "@effect/vitest"
import { refuse } from "./support.js"

/** What it is, the file, and every line that is printed. */
type Case = readonly [string, string, ReadonlyArray<string>]

const table = (what: string, cases: ReadonlyArray<Case>) =>
  describe(what, () => {
    for (const [name, text, expected] of cases) {
      it(name, () => assert.deepStrictEqual(refuse(text), expected))
    }
  })

const inUnit = (...lines: ReadonlyArray<string>): string =>
  ["units:", "  web:", "    command: x", ...lines.map((line) => `    ${line}`)].join("\n")

table("a file that is no configuration", [
  ["an empty file", "", ["1:1: the file is empty; expected units, and what each of them is"]],
  ["comments only", "# nothing\n\n", ["1:1: the file is empty; expected units, and what each of them is"]],
  ["an empty document", "---\n", ["1:1: the file is empty; expected units, and what each of them is"]],
  ["a list", "- web\n", ["1:1: got a list; expected `units:`, and what each of them is"]],
  ["a text", "hello\n", ["1:1: got a text; expected `units:`, and what each of them is"]],
  ["null", "~\n", ["1:1: got null; expected `units:`, and what each of them is"]],
  [
    "two documents",
    "units: {}\n---\nunits: {}\n",
    ["2:1: a second document begins here (---); put everything into one"],
  ],
  ["no units", "groups: {}\n", ["1:1: units: it is required"]],
  [
    "units that are a list",
    "units:\n  - web\n",
    ['2:3: units: got ["web"]; expected units by name, and what each of them is'],
  ],
  [
    "units that are nothing",
    "units:\n",
    ["1:7: units: got nothing; expected units by name, and what each of them is"],
  ],
  ["groups that are a text", "units: {}\ngroups: all\n", ['2:9: groups: got "all"; expected groups by name']],
  [
    "a misspelt top",
    "unit:\n  web: { command: x }\n",
    ["1:1: unit: there is no such key; did you mean units?"],
  ],
  ["a top of another tool", "services: {}\n", ["1:1: services: there is no such key; did you mean units?"]],
  [
    "a binary file",
    "\u007FELF\u0002\u0001\u0000",
    ["1:1: got a text; expected `units:`, and what each of them is"],
  ],
])

table("text that is no YAML", [
  ["a tab", "units:\n\tweb:\n", ["2:1: a tab cannot indent; use blanks"]],
  ["a tab after blanks", "units:\n  web:\n  \tcommand: x\n", ["3:3: a tab cannot indent; use blanks"]],
  [
    "a key that is indented less than its neighbours",
    "units:\n  web:\n    command: x\n   port: 80\n",
    ["4:4: this is not in line with what it belongs to; check the indentation"],
  ],
  [
    "a unit that is indented less than the others",
    "units:\n    web:\n      command: x\n  db:\n    command: y\n",
    ["4:3: this is not in line with what it belongs to; check the indentation"],
  ],
  [
    "a key that is indented more than its neighbours",
    "units:\n  web:\n    command: x\n      port: 80\n",
    [
      "3:14: a value with `key: ` in it begins on a line of its own; put quotes around a text with a colon and a blank in it, and check the indentation of the next line",
    ],
  ],
  [
    "a colon in a text",
    "units:\n  web:\n    command: echo a: b\n",
    [
      "3:14: a value with `key: ` in it begins on a line of its own; put quotes around a text with a colon and a blank in it, and check the indentation of the next line",
    ],
  ],
  [
    "a missing colon",
    "units:\n  web\n    command: x\n",
    ["2:3: a colon and a blank are missing after this key, or the next line is indented too far"],
  ],
  [
    "a missing blank after the colon",
    "units:\n  web:\n    command:x\n    port: 80\n",
    ["3:5: a colon and a blank are missing after this key, or the next line is indented too far"],
  ],
  [
    'a missing " is told where the text begins',
    'units:\n  web:\n    command: "abc\n    port: 80\n',
    ['3:14: the text that begins here is not closed by "'],
  ],
  [
    "a missing '",
    "units:\n  web:\n    command: 'abc\n    port: 80\n",
    ["3:14: the text that begins here is not closed by '"],
  ],
  [
    "a missing ]",
    "units:\n  web:\n    command: [a, b\n    port: 80\n",
    ["4:5: the list before this is not closed by ], or not indented far enough"],
  ],
  [
    "a missing }",
    "units:\n  web:\n    env: { A: 1\n    port: 80\n",
    ["4:5: the mapping before this is not closed by }, or not indented far enough"],
  ],
  [
    "one } too many",
    "units:\n  web:\n    env: {A: 1}}\n    port: 80\n",
    [
      "3:16: this cannot stand here; put quotes around a text with special characters, and around ${...} within { } and [ ]",
    ],
  ],
  [
    "variables without quotes within { }",
    "units:\n  web:\n    env: { PORT: ${port}, A: b }\n",
    [
      "3:19: this cannot stand here; put quotes around a text with special characters, and around ${...} within { } and [ ]",
    ],
  ],
  [
    "variables without quotes within [ ]",
    "units:\n  web:\n    command: [echo, ${HOME}]\n",
    [
      "3:22: a comma is missing before this; or: this cannot stand here; put quotes around a text with special characters, and around ${...} within { } and [ ]",
    ],
  ],
  [
    "a text with @",
    "units:\n  web:\n    command: @foo\n",
    ["3:14: a text that begins with @ needs quotes around it"],
  ],
  [
    "a text with `",
    "units:\n  web:\n    command: `date`\n",
    ["3:14: a text that begins with ` needs quotes around it"],
  ],
  [
    "a text with %",
    "units:\n  web:\n    command: %foo\n",
    ["3:14: a text that begins with % needs quotes around it"],
  ],
  [
    "a text with *",
    "units:\n  web:\n    command: *.js\n",
    [
      "3:14: units.web.command: there is no anchor &.js of this alias before it; put quotes around a text that begins with *",
    ],
  ],
  [
    "a text with &",
    "units:\n  web:\n    command: & foo\n",
    ["3:14: & and * begin an anchor and an alias; put quotes around a text that begins with one"],
  ],
  [
    "an unknown tag",
    "units:\n  web:\n    command: !foo bar\n",
    ["3:14: there is no such tag, or the value is not one; put quotes around a text that begins with !"],
  ],
  [
    "an unknown escape",
    'units:\n  web:\n    command: "a\\qb"\n',
    [
      "3:16: there is no such escape in double quotes; write \\\\ for a backslash, or use single quotes around the text",
    ],
  ],
  ["an unknown directive", "%FOO\n---\nunits: {}\n", ["1:1: there is no such YAML directive or version"]],
  [
    "several at once",
    "units:\n  web:\n    command: @a\n  db:\n    command: `b`\n",
    [
      "3:14: a text that begins with @ needs quotes around it",
      "5:14: a text that begins with ` needs quotes around it",
    ],
  ],
])

table("keys", [
  [
    "a misspelt key",
    inUnit("readines: {}"),
    ["4:5: units.web.readines: there is no such key; did you mean readiness?"],
  ],
  [
    "a misspelt key deep inside",
    inUnit("port: 80", "readiness:", "  http:", "    path: /", "    hedaers: {}"),
    ["8:9: units.web.readiness.http.hedaers: there is no such key; did you mean headers?"],
  ],
  [
    "a key of another tool",
    inUnit("depends_on: [db]"),
    ["4:5: units.web.depends_on: there is no such key; did you mean requires?"],
  ],
  [
    "a key in another notation",
    inUnit("env_file: .env"),
    ["4:5: units.web.env_file: there is no such key; did you mean envFile?"],
  ],
  ["a key that nobody knows", inUnit("colour: blue"), ["4:5: units.web.colour: there is no such key"]],
  [
    "a key that nobody knows among few",
    inUnit("stop: { colour: blue }"),
    ["4:13: units.web.stop.colour: there is no such key; there are signal, grace"],
  ],
  [
    "a misspelt key that was required is told once",
    "units:\n  web:\n    comand: x\n",
    ["3:5: units.web.comand: there is no such key; did you mean command?"],
  ],
  [
    "a key that is there twice",
    "units:\n  web:\n    command: x\n    port: 1\n    port: 2\n",
    ["5:5: units.web.port: this key stands here twice, the first time in line 4"],
  ],
  [
    "a unit that is there twice",
    "units:\n  web: { command: x }\n  db: { command: x }\n  web: { command: y }\n",
    ["4:3: units.web: this key stands here twice, the first time in line 2"],
  ],
  [
    "variables in a key",
    inUnit('env: { "${HOME}": x }'),
    ['4:12: units.web.env["${HOME}"]: variables are put into values only, not into keys'],
  ],
  ["a key that is a list", inUnit("? [a]", ": b"), ["4:7: units.web: a key is a text"]],
  ["no key", "units:\n  : x\n", ["2:3: units: a key is missing before the colon"]],
  [
    "a key that no object can have",
    inUnit("env: { __proto__: x }"),
    ["4:12: units.web.env.__proto__: there can be no such key"],
  ],
  [
    "a key that every object has",
    inUnit("constructor: x"),
    ["4:5: units.web.constructor: there is no such key"],
  ],
])

table("values", [
  ["a unit that is nothing", "units:\n  web:\n", ["2:7: units.web: got nothing; expected an object"]],
  [
    "a unit that is a text",
    "units:\n  web: node server.js\n",
    ["2:8: units.web: got a text; expected an object"],
  ],
  ["no command", "units:\n  web: { port: 80 }\n", ["2:3: units.web.command: it is required"]],
  ["no url", "units:\n  web:\n    kind: external\n", ["2:3: units.web.url: it is required"]],
  [
    "an empty command",
    "units: { web: { command: [] } }\n",
    [
      "1:26: units.web.command: got []; expected a command: a list of texts (the program, then its arguments), or one text for the shell",
    ],
  ],
  [
    "a number that is too large",
    inUnit("port: 99999"),
    ["4:11: units.web.port: got 99999; expected a port from 1 to 65535, or auto"],
  ],
  [
    "a text instead of a number",
    inUnit("ports: [80, http]"),
    ['4:17: units.web.ports[1]: got "http"; expected a port: a number from 1 to 65535'],
  ],
  [
    "a bad length of time",
    inUnit("startTimeout: 10 parsecs"),
    [
      '4:19: units.web.startTimeout: got "10 parsecs"; expected a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)',
    ],
  ],
  [
    "a negative length of time",
    inUnit("stop: { grace: -1 }"),
    [
      "4:20: units.web.stop.grace: got -1; expected a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)",
    ],
  ],
  [
    "a length of time that is nothing",
    inUnit("stop:", "  grace:"),
    [
      "5:13: units.web.stop.grace: got nothing; expected a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)",
    ],
  ],
  [
    "a bad size",
    inUnit("logs: { maxSize: 10XB }"),
    [
      '4:22: units.web.logs.maxSize: got "10XB"; expected a size such as 10MB or 512KiB (a bare number is bytes), at least 1KiB',
    ],
  ],
  [
    "an unknown signal",
    inUnit("stop: { signal: TREM }"),
    [
      '4:21: units.web.stop.signal: got "TREM"; expected the name of a signal, such as TERM, INT, HUP or KILL',
    ],
  ],
  [
    "an unknown policy",
    inUnit("restart: sometimes"),
    ['4:14: units.web.restart: got "sometimes"; expected on-failure, always or never or an object'],
  ],
  [
    "an unknown condition",
    "units:\n  db: { command: x }\n  web:\n    command: x\n    requires:\n      db: up\n",
    ['6:11: units.web.requires.db: got "up"; expected started, ready, completed or succeeded'],
  ],
  [
    "a relative path to ask for",
    inUnit("port: 80", "readiness: { http: { path: health } }"),
    [
      "5:32: units.web.readiness.http.path: got \"health\"; expected a path that starts with '/' (percent-encode blanks and characters beyond ASCII; no fragment)",
    ],
  ],
  [
    "two probes in one",
    inUnit("port: 80", "readiness: { tcp: {}, http: { path: / } }"),
    [
      "5:16: units.web.readiness: got an object; expected exactly one of http, tcp, exec, log, all, any; there are http and tcp",
    ],
  ],
  [
    "a probe without a port",
    inUnit("readiness:", "  all:", "    - http: { path: / }", "    - log: { pattern: x }"),
    [
      "6:11: units.web.readiness.all[0].http.port: a port is required here, as the unit has none; give it `port: auto`",
    ],
  ],
  [
    "what another kind has",
    "units:\n  all:\n    kind: target\n    command: x\n",
    ['4:14: units.all.command: got "x"; expected it to be left out: kind target has no process'],
  ],
  [
    "a task, which only a program can run",
    "units:\n  t:\n    kind: task\n",
    ["3:11: units.t.kind: a task needs an Effect to run, which only a program can give it"],
  ],
  [
    "all that is wrong with one unit, rules about several fields too",
    [
      "units:",
      "  web:",
      "    readines: {}",
      "    port: 0",
      "    killOthers: true",
      "    stop: { signal: 9, grace: soon }",
      "    readiness: { http: {}, period: 0 }",
      "    requires: [db, web]",
      "",
    ].join("\n"),
    [
      "2:3: units.web.command: it is required",
      "3:5: units.web.readines: there is no such key; did you mean readiness?",
      "4:11: units.web.port: got 0; expected a port from 1 to 65535, or auto",
      '6:21: units.web.stop.signal: got "9"; expected the name of a signal, such as TERM, INT, HUP or KILL',
      '6:31: units.web.stop.grace: got "soon"; expected a length of time such as 500ms, 10s, 5m or 1h30m (a bare number is seconds)',
      "7:18: units.web.readiness.http.path: got nothing; expected a path that starts with '/', or a url",
      "7:36: units.web.readiness.period: got 0; expected at least 1ms",
      '8:16: units.web.requires.db: there is no unit "db"',
      "8:20: units.web.requires.web: web cannot name itself",
    ],
  ],
])

table("a faulty key keeps quiet what follows from it", [
  [
    "a kind",
    "units:\n  a: { kind: servce }\n  b: { kind: extrenal, url: http://127.0.0.1 }\n  c: { knd: target, requires: [a] }\n",
    [
      '2:14: units.a.kind: got "servce"; expected service, oneshot, target or external, or task in a program that gives it an Effect; did you mean service?',
      '3:14: units.b.kind: got "extrenal"; expected service, oneshot, target or external, or task in a program that gives it an Effect; did you mean external?',
      "4:8: units.c.knd: there is no such key; did you mean kind?",
    ],
  ],
  [
    "a word among few",
    "units:\n  a: { command: x, restart: on-falure, startTimeout: 0 }\n",
    [
      '2:29: units.a.restart: got "on-falure"; expected on-failure, always or never or an object; did you mean on-failure?',
      "2:54: units.a.startTimeout: got 0; expected a time over 0",
    ],
  ],
  [
    "a port",
    "units:\n  a: { command: 'x ${port}', port: 0, killOthers: true, readiness: { tcp: {} } }\n  b: { command: 'x ${a.port}' }\n",
    ["2:36: units.a.port: got 0; expected a port from 1 to 65535, or auto"],
  ],
  [
    "a variable that is not set",
    "units:\n  a: { command: '${NOPE}' }\n  b: { command: x, port: '${NOPE}', liveness: { tcp: {} } }\n",
    [
      "2:18: units.a.command: the variable NOPE is not set; set it, give it a default (${NOPE:-...}), or write $${ for the text ${",
      "3:27: units.b.port: the variable NOPE is not set; set it, give it a default (${NOPE:-...}), or write $${ for the text ${",
    ],
  ],
  [
    "a probe",
    "units:\n  a: { command: x, readiness: { tpc: {} }, liveness: { tcp: { port: x } } }\n",
    [
      "2:33: units.a.readiness.tpc: there is no such key; did you mean tcp?",
      '2:69: units.a.liveness.tcp.port: got "x"; expected a port: a number from 1 to 65535',
    ],
  ],
])

table("units that do not fit together", [
  [
    "an unknown name, with the nearest",
    "units:\n  database: { command: x }\n  web:\n    command: x\n    requires: [databse]\n",
    ['5:16: units.web.requires.databse: there is no unit "databse"; did you mean database?'],
  ],
  [
    "an unknown name with a condition",
    "units:\n  web:\n    command: x\n    after:\n      db: started\n",
    ['5:7: units.web.after.db: there is no unit "db"'],
  ],
  [
    "a cycle is named",
    "units:\n  a: { command: x, requires: [b] }\n  b: { command: x, after: [c] }\n  c: { command: x, bindsTo: [a] }\n",
    ["2:31: units.a.requires.b: a cycle: a -> b -> c -> a"],
  ],
  [
    "two cycles, and an unknown name",
    "units:\n  a: { command: x, requires: [b] }\n  b: { command: x, requires: [a, z] }\n  c: { command: x, requires: [d] }\n  d: { command: x, requires: [c] }\n",
    [
      "2:31: units.a.requires.b: a cycle: a -> b -> a",
      '3:34: units.b.requires.z: there is no unit "z"',
      "4:31: units.c.requires.d: a cycle: c -> d -> c",
    ],
  ],
  [
    "two units on one port",
    "units:\n  web: { command: x, port: 8080 }\n  api: { command: x, ports: [9090, 8080] }\n",
    ["3:29: units.api.ports: port 8080 is the port of web already"],
  ],
  [
    "the port of a unit that has none",
    'units:\n  database: { command: x }\n  web:\n    command: x ${database.port} ${databse.port}\n    env: { PORT: "${port}" }\n',
    [
      "4:14: units.web.command: ${database.port}: database has no port; give it `port: auto`",
      '4:14: units.web.command: ${databse.port}: there is no unit "databse"; did you mean database?',
      "5:18: units.web.env.PORT: ${port} stands for the port of web, which has none; give it `port: auto`",
    ],
  ],
  [
    "a name that is none",
    "units:\n  my web: { command: x }\n",
    [
      "2:3: units[\"my web\"]: expected a unit's name: 1 to 64 letters, digits, '.', '_' or '-', the first one a letter or a digit",
    ],
  ],
  [
    "groups",
    "units:\n  a: { command: x }\n  b: { command: x }\ngroups:\n  g: { units: [a, c], strategy: one-for-none }\n  h: { units: [b, a, b] }\n",
    [
      '5:19: groups.g.units.c: there is no unit "c"',
      '5:33: groups.g.strategy: got "one-for-none"; expected one-for-one, one-for-all or rest-for-one; did you mean one-for-one?',
      "6:19: groups.h.units.a: a is in the group g already",
      "6:22: groups.h.units.b: b stands twice in the group h",
    ],
  ],
  [
    "a faulty unit is no unknown one",
    'units:\n  web: { command: x, requires: [db] }\n  db: { comand: x, port: x }\n  c: { command: "x ${db.port}" }\n',
    [
      "3:9: units.db.comand: there is no such key; did you mean command?",
      '3:26: units.db.port: got "x"; expected a port from 1 to 65535, or auto',
    ],
  ],
])

describe("secrets", () => {
  const shows = (text: string, secret: string) => assert.notInclude(refuse(text).join("\n"), secret)

  it("values of variables, headers and unknown keys are not shown", () => {
    shows(inUnit("env: { TOKEN: [hunter2] }"), "hunter2")
    shows(
      inUnit("port: 80", "readiness: { http: { path: /, headers: { Authorization: [hunter2] } } }"),
      "hunter2",
    )
    shows(inUnit("passwrod: hunter2"), "hunter2")
    shows(inUnit("env: { TOKEN: *hunter2 }"), "hunter2")
  })

  it("what a variable of the environment holds is not shown: it is shown as it was written", () => {
    assert.deepStrictEqual(refuse(inUnit("port: ${SECRET}")), [
      '4:11: units.web.port: got "${SECRET}"; expected a port from 1 to 65535, or auto',
    ])
    assert.deepStrictEqual(refuse(inUnit("readiness: { log: { pattern: '(${SECRET}' } }")), [
      '4:34: units.web.readiness.log.pattern: got "(${SECRET}"; expected a regular expression (Invalid regular expression: /(${SECRET}/: Unterminated group)',
    ])
  })

  it("nor where it was to be the name of a unit", () => {
    assert.deepStrictEqual(refuse(inUnit("requires: ['${SECRET}', '${NOPE:-e}', '${NOPE:-web}']")), [
      '4:16: units.web.requires["${SECRET}"]: there is no unit "${SECRET}"',
      '4:29: units.web.requires["${NOPE:-e}"]: there is no unit "${NOPE:-e}"',
      '4:43: units.web.requires["${NOPE:-web}"]: ${NOPE:-web} cannot name itself',
    ])
  })

  it("values of masked variables are not shown, wherever they stand", () => {
    shows(inUnit("mask: [SECRET]", "cwd: [s3cr3t-value]"), "s3cr3t-value")
    shows(inUnit("mask: [TOKEN]", "env: { TOKEN: hunter2 }", "restart: hunter2"), "hunter2")
  })

  it("passwords in URLs are not shown", () => {
    const faults = refuse(
      "units:\n  db:\n    kind: external\n    url: http://ada:hunter2@host/?key=hunter2\n",
    )
    assert.lengthOf(faults, 1)
    assert.notInclude(faults.join(), "hunter2")
  })
})

describe("many faults", () => {
  it("are told in the order of the file, up to fifty of them", () => {
    const lines = refuse(inUnit(...Array.from({ length: 73 }, (_, index) => `zz${index}: 1`)))
    assert.lengthOf(lines, 51)
    assert.strictEqual(lines[0], "4:5: units.web.zz0: there is no such key")
    assert.strictEqual(lines[49], "53:5: units.web.zz49: there is no such key")
    assert.strictEqual(lines[50], "... and 23 more")
  })
})
