// Reads from a 64-bit little-endian ELF file what a loader looks at: libraries, symbols with their versions, the flags of the stack.
import { readFileSync } from 'node:fs';

const SECTION_TYPES = { dynsym: 11, dynamic: 6, verneed: 0x6ffffffe, versym: 0x6fffffff };
const DT_NEEDED = 1n;
const PT_GNU_STACK = 0x6474e551;
const PF_X = 1;

export function readElf(path) {
  const bytes = readFileSync(path);
  const u16 = (at) => bytes.readUInt16LE(at);
  const u32 = (at) => bytes.readUInt32LE(at);
  const u64 = (at) => bytes.readBigUInt64LE(at);
  const number = (at) => Number(u64(at));
  const text = (at) => bytes.toString('latin1', at, bytes.indexOf(0, at));
  if (bytes.toString('latin1', 0, 4) !== '\x7fELF' || bytes[4] !== 2 || bytes[5] !== 1)
    throw new Error(`${path} is no such file`);

  const sections = Array.from({ length: u16(60) }, (_, index) => {
    const at = number(40) + index * u16(58);
    return {
      type: u32(at + 4),
      at: number(at + 24),
      size: number(at + 32),
      link: u32(at + 40),
      count: u32(at + 44),
    };
  });
  const section = (name) => sections.find(({ type }) => type === SECTION_TYPES[name]);
  const strings = (owner) => (offset) => text(sections[owner.link].at + offset);

  const versions = new Map();
  const verneed = section('verneed');
  if (verneed !== undefined) {
    const name = strings(verneed);
    for (let at = verneed.at, left = verneed.count; left > 0; left--, at += u32(at + 12)) {
      for (let aux = at + u32(at + 8), more = u16(at + 2); more > 0; more--, aux += u32(aux + 12)) {
        versions.set(u16(aux + 6), name(u32(aux + 8)));
      }
    }
  }

  const dynsym = section('dynsym');
  const versym = section('versym');
  const symbolName = strings(dynsym);
  const symbols = Array.from({ length: dynsym.size / 24 }, (_, index) => {
    const at = dynsym.at + index * 24;
    const version = versym === undefined ? undefined : versions.get(u16(versym.at + index * 2) & 0x7fff);
    return { name: symbolName(u32(at)), defined: u16(at + 6) !== 0, version };
  }).slice(1);

  const dynamic = section('dynamic');
  const entries = Array.from({ length: dynamic.size / 16 }, (_, index) => dynamic.at + index * 16);
  const libraries = entries
    .filter((at) => u64(at) === DT_NEEDED)
    .map((at) => strings(dynamic)(number(at + 8)));

  const headers = Array.from({ length: u16(56) }, (_, index) => number(32) + index * u16(54));
  const stack = headers.find((at) => u32(at) === PT_GNU_STACK);
  // Without this header, Linux makes the stack executable.
  const executableStack = stack === undefined || (u32(stack + 4) & PF_X) !== 0;
  return { machine: { 62: 'x64', 183: 'arm64' }[u16(18)], libraries, symbols, executableStack };
}
