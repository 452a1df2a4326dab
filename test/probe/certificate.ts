/** A certificate that signs itself, made anew for each test: enough DER (X.690) for an X.509 certificate (RFC 5280). */
import { generateKeyPairSync, sign } from "node:crypto"

const der = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const head = length < 128 ? [length] : length < 256 ? [0x81, length] : [0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from([tag, ...head]), content])
}
const sequence = (...parts: ReadonlyArray<Uint8Array>): Buffer => der(0x30, ...parts)
const identifier = (hex: string): Buffer => der(0x06, Buffer.from(hex, "hex"))
const time = (text: string): Buffer => der(0x17, Buffer.from(text))

const ecdsaWithSha256 = sequence(identifier("2a8648ce3d040302"))

/** For `tls.createServer`. Valid from 2000 to 2049. */
export const selfSigned = (commonName: string): { readonly key: string; readonly cert: string } => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const name = sequence(der(0x31, sequence(identifier("550403"), der(0x0c, Buffer.from(commonName)))))
  const validity = sequence(time("000101000000Z"), time("491231235959Z"))
  const serial = der(0x02, Buffer.from([1]))
  const publicInfo = publicKey.export({ type: "spki", format: "der" })
  const body = sequence(serial, ecdsaWithSha256, name, validity, name, publicInfo)
  const signature = der(0x03, Buffer.from([0]), sign("sha256", body, privateKey))
  const base64 = sequence(body, ecdsaWithSha256, signature).toString("base64")
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${base64.replace(/(.{64})/g, "$1\n")}\n-----END CERTIFICATE-----\n`,
  }
}
