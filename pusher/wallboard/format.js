// How figures are written. A figure that is not known is a dash, never a zero.

import { w } from './words.js';

export const NONE = '–';
const two = (n) => String(n).padStart(2, '0');

export const count = (n) => (n === null || n === undefined ? NONE : Number(n).toLocaleString('en-US').replaceAll(',', '\u202f'));
export const percent = (r, digits = 0) => (r === null || r === undefined ? NONE : `${(r * 100).toFixed(digits)}%`);

/** 0:07, 12:34, 1:02:03 */
export function clockwise(ms) {
  if (ms === null || ms === undefined) return NONE;
  const sec = Math.floor(ms / 1000);
  const [hours, minutes, seconds] = [Math.floor(sec / 3600), Math.floor(sec / 60) % 60, sec % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

export const seconds = (ms) => {
  if (ms === null || ms === undefined) return NONE;
  return ms < 100_000 ? `${Math.round(ms / 1000)} s` : clockwise(ms);
};

/** 0.4 s, 12 s, 3 min */
export const age = (ms) => (ms < 10_000 ? w('age_short', (Math.max(0, ms) / 1000).toFixed(1)) : w('age_long', Math.round(ms / 1000)));

export const moment = (time) => (time ? Date.parse(time) : null);

export function timeIn(zone, options) {
  try {
    return new Intl.DateTimeFormat('en-GB', { ...options, timeZone: zone || undefined });
  } catch {
    return new Intl.DateTimeFormat('en-GB', options);
  }
}
