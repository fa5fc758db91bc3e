// The words, in English and Chinese. ?lang= wins, then what was chosen before, then the browser.

const WORDS = {
  en: {
    other: '中文', live: 'Live', age: (a) => `data ${a} old`, connecting: 'Connecting…', stale: 'Stale', stopped: 'Stopped',
    banner_stale: (a) => `These figures are ${a} old. Do not act on them.`, banner_never: 'Connected; no figures have come yet.',
    banner_down: 'Connection lost. Reconnecting…', banner_stopped: (why) => `The server ended the connection: ${why}.`,
    token: 'Access token', enter: 'Connect', queues: 'Queues', agents: 'Agents', calls: 'Waiting callers', day: 'Today by half hour', more: 'Table',
    waiting: 'Waiting', longest: 'Longest wait', level: 'Service level', goal: (g, t) => `goal ${g} in ${t}`, offered: 'Offered', answered: 'Answered',
    abandoned: 'Abandoned', short: (n) => `${n} short`, asa: 'Speed of answer', aht: (t) => `handling ${t}`, in_service: (n) => `${n} in conversation`, in_ivr: (n) => `${n} in IVR`,
    none_waits: 'nobody waits', ewt: 'Expected', ready: 'Ready', talking: 'Talking', reserved: 'Ringing', wrap_up: 'Wrap-up', not_ready: 'Not ready', unknown: 'Unknown', staff: (n) => `Agents · ${n} logged in`,
    free: 'Ready / in', good: '● On track', wait_watch: '▲ Long wait', wait_alarm: '■ Act now', level_watch: '▲ Below goal', level_alarm: '■ Far below goal', idle: '○ Quiet', no_calls: 'Nobody is waiting.', no_agents: 'No agent is logged in.', no_queues: 'No queue is known yet.',
    more_calls: (n) => `${n} waiting`, answered_rate: (r) => `${r} answered`, connected: 'connected', disconnected: 'disconnected', silent: 'silent', flow: 'Other exits', time: 'Time', gap: (sec) => `gap ${sec} today`, today: 'Today', sources: 'Sources', max_wait: 'Max wait', sl: 'SL', more_agents: (n) => `and ${n} more`,
    age_short: (sec) => `${sec} s`,
    age_long: (sec) => sec < 90 ? `${sec} s` : `${Math.round(sec / 60)} min`,
  },
  zh: {
    other: 'English', live: '实时', age: (a) => `数据 ${a} 前`, connecting: '连接中…', stale: '数据过期', stopped: '已停止',
    banner_stale: (a) => `以下数据已是 ${a} 前的，请勿据此决策。`, banner_never: '已连接，尚未收到数据。',
    banner_down: '连接中断，正在重连…', banner_stopped: (why) => `服务器结束了连接：${why}。`,
    token: '访问令牌', enter: '连接', queues: '技能组', agents: '坐席', calls: '排队来电', day: '今日（每半小时）', more: '明细表',
    waiting: '排队', longest: '最长等待', level: '服务水平', goal: (g, t) => `目标 ${t} 内 ${g}`, offered: '呼入', answered: '接通',
    abandoned: '放弃', short: (n) => `短放弃 ${n}`, asa: '平均应答', aht: (t) => `平均处理 ${t}`, in_service: (n) => `通话中 ${n}`, in_ivr: (n) => `IVR 中 ${n}`,
    none_waits: '无人排队', ewt: '预计等待', ready: '空闲', talking: '通话', reserved: '振铃', wrap_up: '话后', not_ready: '示忙', unknown: '未知', staff: (n) => `坐席 · 签入 ${n}`,
    free: '空闲 / 签入', good: '● 正常', wait_watch: '▲ 等待偏长', wait_alarm: '■ 立即处理', level_watch: '▲ 低于目标', level_alarm: '■ 远低于目标', idle: '○ 空闲', no_calls: '当前无人排队。', no_agents: '没有坐席签入。', no_queues: '暂无技能组。',
    more_calls: (n) => `${n} 人排队`, answered_rate: (r) => `接通率 ${r}`, connected: '已连接', disconnected: '已断开', silent: '无响应', flow: '其他离队', time: '时间', gap: (sec) => `今日缺口 ${sec}`, today: '今日', sources: '数据源', max_wait: '最长等待', sl: '服务水平', more_agents: (n) => `另有 ${n} 人`,
    age_short: (sec) => `${sec} 秒`,
    age_long: (sec) => sec < 90 ? `${sec} 秒` : `${Math.round(sec / 60)} 分钟`,
  },
};

const remembered = () => { try { return localStorage.getItem('tidegate.lang'); } catch { return null; } };
const asked = new URLSearchParams(location.search).get('lang');
const known = (lang) => (lang && Object.hasOwn(WORDS, lang.slice(0, 2)) ? lang.slice(0, 2) : null);
let lang = known(asked) ?? known(remembered()) ?? known(navigator.language) ?? 'en';
if (known(asked)) remember();

function remember() {
  try { localStorage.setItem('tidegate.lang', lang); } catch { /* private window: only this visit */ }
}

export const language = () => lang;
export const w = (word, ...args) => {
  const found = WORDS[lang][word];
  return typeof found === 'function' ? found(...args) : found ?? word;
};
export function switchLanguage() {
  lang = lang === 'en' ? 'zh' : 'en';
  remember();
}
