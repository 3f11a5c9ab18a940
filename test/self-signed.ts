/** Certificates for tests that speak TLS to a server of their own: the few parts of X.509 (RFC 5280) that this takes. */
import { generateKeyPairSync, sign, X509Certificate } from 'node:crypto';

export interface TestCertificate {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint: string;
}

/** Signed by itself, valid for an hour around now, for `name`; "localhost" is for 127.0.0.1 too. */
export function selfSigned(name = 'localhost'): TestCertificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const signature = sequence(oid(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02));
  const subject = sequence(der(0x31, sequence(oid(0x55, 0x04, 0x03), der(0x0c, Buffer.from(name)))));
  const names = [der(0x82, Buffer.from(name)), ...(name === 'localhost' ? [der(0x87, Buffer.from([127, 0, 0, 1]))] : [])];
  const alternativeNames = sequence(oid(0x55, 0x1d, 0x11), der(0x04, sequence(...names)));
  const authority = sequence(oid(0x55, 0x1d, 0x13), der(0x04, sequence(der(0x01, Buffer.from([0xff])))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    signature,
    subject,
    sequence(time(-3_600_000), time(3_600_000)),
    subject,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(alternativeNames, authority)),
  );
  const bits = Buffer.concat([Buffer.from([0]), sign('sha256', body, privateKey)]);
  const certificate = new X509Certificate(sequence(body, signature, der(0x03, bits)));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: certificate.toString(),
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
  };
}

function der(tag: number, ...content: Uint8Array[]): Buffer {
  const value = Buffer.concat(content);
  const length = value.length < 128 ? [value.length] : [0x82, value.length >> 8, value.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), value]);
}

const sequence = (...content: Uint8Array[]): Buffer => der(0x30, ...content);
const oid = (...bytes: number[]): Buffer => der(0x06, Buffer.from(bytes));
const time = (fromNowMs: number): Buffer => {
  const text = new Date(Date.now() + fromNowMs).toISOString().replace(/[-:T]/g, '');
  return der(0x17, Buffer.from(`${text.slice(2, 14)}Z`));
};
