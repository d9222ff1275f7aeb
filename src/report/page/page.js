'use strict';

// Draws what the JSON in #data says. Colours follow the order of groups in the first task that names them.
const COLOURS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8c6bb1', '#7f7f7f', '#b3a100', '#a6761d'];
const PUBLISHED_COLOUR = '#888888';
const LIVE_SECONDS = 5;
const CARD = 'model/unseen/';  // shares and scores of whatever sign
const MODEL_MEASURE_FIRST = 'model/open_loop_error_1';

let data = JSON.parse(document.getElementById('data').textContent);
const charts = [];  // {element, traces(), layout()} of every chart drawn
const chosen = {axis: 'steps', seeds: false, column: {}};
let printing = false;

const dark = window.matchMedia('(prefers-color-scheme: dark)');
const pointer = window.matchMedia('(hover: hover)');  // a mouse, not a finger

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

function number(value) {
  if (value === null || value === undefined) {
    return '–';
  }
  const size = Math.abs(value);
  if (size >= 1000) {
    return Math.round(value).toLocaleString('en-US');
  }
  return size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : value.toPrecision(3);
}

function estimateCell(estimate) {
  const cell = element('td', {}, number(estimate.value));
  if (estimate.low !== null && estimate.low !== undefined) {
    cell.append(' ', element('small', {}, `[${number(estimate.low)}, ${number(estimate.high)}]`));
  }
  return cell;
}

function colourOf(group) {
  const names = [];
  for (const task of data.tasks) {
    for (const {name} of task.groups) {
      if (!names.includes(name)) {
        names.push(name);
      }
    }
  }
  return COLOURS[names.indexOf(group) % COLOURS.length];
}

function transparent(colour, opacity) {
  const part = (from) => parseInt(colour.slice(from, from + 2), 16);
  return `rgba(${part(1)},${part(3)},${part(5)},${opacity})`;
}

function named(group) {
  return [element('span', {class: 'swatch', style: `background:${colourOf(group)}`}), group];
}

function table(head, rows, textHead = false) {
  const body = element('tbody');
  for (const row of rows) {
    body.append(element('tr', {}, ...row.map((cell) => cell instanceof Node ? cell : element('td', {}, cell))));
  }
  return element('div', {class: 'scroll'},
    element('table', {}, element('thead', {}, element('tr', {}, ...head.map((cell) => element('th', textHead ? {class: 'text'} : {}, cell)))), body));
}

// --- Charts ----------------------------------------------------------------------------------------------------------

function layoutOf(x, y, more = {}) {
  const light = printing || !dark.matches;
  const ink = light ? '#1b1f24' : '#e6e9ee';
  const line = light ? '#d9dee5' : '#333a44';
  const axis = (text) => ({title: {text}, gridcolor: line, linecolor: line, zerolinecolor: line, automargin: true});
  return {
    paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
    font: {color: ink, family: 'system-ui, Segoe UI, Liberation Sans, sans-serif', size: 13},
    margin: {l: 60, r: 10, t: 36, b: 50}, hovermode: 'closest', dragmode: pointer.matches ? 'zoom' : false,
    // Above the plot is the toolbar's place, which stays there if there is no pointer to hover.
    legend: {orientation: 'h', x: 0, y: 0, yref: 'container', yanchor: 'bottom'},
    modebar: {bgcolor: 'rgba(0,0,0,0)', color: light ? '#5d6673' : '#9aa4b2', activecolor: ink},
    ...more, xaxis: {...axis(x), ...more.xaxis}, yaxis: {...axis(y), ...more.yaxis},
  };
}

// `rows`: a chart of so many points one below the other.
function chart(title, traces, layout, rows) {
  const caption = element('figcaption');
  const made = element('div', {class: 'chart', ...(rows && {style: `height: ${8 + 2 * rows}rem`})});
  charts.push({element: made, caption, title, traces, layout});
  return element('figure', {}, caption, made);
}

function draw({element: target, caption, title, traces, layout}) {
  caption.textContent = title();
  return Plotly.react(target, traces(), layout(), {displaylogo: false, responsive: true,
    modeBarButtonsToRemove: ['lasso2d', 'select2d', 'sendChartToCloud']});  // nothing leaves this page
}

function drawAll() {
  return Promise.all(charts.map(draw));
}

// A line with its interval around it.
function band(name, curve, colour, hover) {
  const traces = [];
  if (curve.low.some((value) => value !== null)) {
    const edge = {x: curve.x, mode: 'lines', line: {width: 0, color: colour}, hoverinfo: 'skip', showlegend: false, legendgroup: name};
    traces.push({...edge, y: curve.low}, {...edge, y: curve.high, fill: 'tonexty', fillcolor: transparent(colour, 0.18)});
  }
  traces.push({x: curve.x, y: curve.value, name, legendgroup: name, mode: curve.x.length > 1 ? 'lines' : 'markers',
    line: {color: colour, width: 2.5}, hovertemplate: `${hover}<extra>%{fullData.name}</extra>`});
  return traces;
}

function lastStep(task) {
  return Math.max(...task.groups.flatMap((group) => group.runs.map((place) => data.runs[place].env_steps)));
}

// Marks far beyond our runs would press these to the left.
function publishedTraces(task) {
  const byName = new Map();
  for (const mark of task.published.filter(({env_step}) => env_step <= 1.05 * lastStep(task))) {
    byName.set(mark.algorithm, [...(byName.get(mark.algorithm) || []), mark]);
  }
  const dashes = ['dash', 'dot', 'dashdot'];
  return [...byName].map(([algorithm, marks], i) => ({
    x: marks.map((mark) => mark.env_step), y: marks.map((mark) => mark.return_mean), name: `${algorithm}, published`,
    mode: 'lines+markers', line: {color: PUBLISHED_COLOUR, dash: dashes[i % dashes.length], width: 1.5}, marker: {size: 5},
    error_y: {type: 'data', array: marks.map((mark) => mark.return_std), color: PUBLISHED_COLOUR, thickness: 1},
    text: marks.map((mark) => mark.source), hovertemplate: 'step %{x}: %{y:.5g}<br>%{text}<extra>%{fullData.name}</extra>',
  }));
}

function returnTraces(task) {
  const steps = chosen.axis === 'steps';
  const traces = [];
  for (const group of task.groups) {
    if (chosen.seeds) {
      for (const place of group.runs) {
        const {seed, returns} = data.runs[place];
        traces.push({x: steps ? returns.steps : returns.wall_s.map((s) => s / 3600), y: returns.value, mode: 'lines',
          line: {color: colourOf(group.name), width: 1}, opacity: 0.55, showlegend: false, legendgroup: group.name,
          name: `${group.name}, seed ${seed}`, hovertemplate: '%{x:.6g}: %{y:.5g}<extra>%{fullData.name}</extra>'});
      }
    }
    traces.push(...band(group.name, steps ? group.by_steps : group.by_hours, colourOf(group.name), '%{x:.6g}: %{y:.5g}'));
  }
  return steps ? [...traces, ...publishedTraces(task)] : traces;
}

function returnLayout() {
  return layoutOf(chosen.axis === 'steps' ? 'env steps' : 'hours of training', 'return');
}

// A point with its interval for each estimate, at its place in `y`.
function estimateTrace(estimates, y, colours, lines, hover) {
  return {x: estimates.map(({value}) => value), y, mode: 'markers', showlegend: false, marker: {size: 11, symbol: 'diamond', color: colours},
    error_x: {type: 'data', symmetric: false, array: estimates.map(({value, high}) => high === null ? 0 : high - value),
      arrayminus: estimates.map(({value, low}) => low === null ? 0 : value - low), thickness: 2, width: 6, color: lines},
    hovertemplate: hover};
}

// Single runs are faint dots under the estimate.
function scoreTraces(groups) {
  return groups.flatMap(({name, iqm, scores = [], seeds = []}) => [
    {x: scores, y: scores.map(() => name), mode: 'markers', showlegend: false, marker: {color: transparent(colourOf(name), 0.45), size: 9},
      text: seeds.map((seed) => `seed ${seed}`), hovertemplate: '%{text}: %{x:.5g}<extra></extra>'},
    estimateTrace([iqm], [name], colourOf(name), colourOf(name), 'IQM %{x:.5g}<extra>%{y}</extra>'),
  ]);
}

function scoreChart(title, groups, x) {
  return chart(() => title, () => scoreTraces(groups), () => layoutOf(x, '', {yaxis: {type: 'category', autorange: 'reversed'}}));
}

function improvementTraces(groups, improvements) {
  const pairs = improvements.filter(({x, y}) => x < y).reverse();
  const label = ({x, y}) => `${groups[x].name} > ${groups[y].name}`;
  return [estimateTrace(pairs, pairs.map(label), pairs.map(({x}) => colourOf(groups[x].name)), '#888888', 'P(%{y}) = %{x:.3f}<extra></extra>')];
}

function improvementChart(groups, improvements) {
  const pairs = groups.length * (groups.length - 1) / 2;
  return chart(() => 'Probability of improvement', () => improvementTraces(groups, improvements), () => layoutOf('P(X > Y)', '',
    {xaxis: {range: [-0.03, 1.03]}, shapes: [{type: 'line', x0: 0.5, x1: 0.5, y0: 0, y1: 1, yref: 'paper', line: {dash: 'dot', width: 1, color: '#888'}}]}), pairs);
}

function profileChart(groups, x) {
  return chart(() => 'Performance profile',
    () => groups.flatMap((group) => band(group.name, group.profile, colourOf(group.name), 'above %{x:.5g}: %{y:.3f}')),
    () => layoutOf(x, 'share of runs above', {yaxis: {range: [-0.03, 1.03]}}));
}

// --- Sections --------------------------------------------------------------------------------------------------------

function numbersTable(task) {
  const first = task.groups[0];
  const head = ['', 'runs', `IQM after step ${number(task.score_after)}`, 'mean', 'area under curve',
    ...first.at_steps.map(({env_step}) => `at step ${number(env_step)}`)];
  if (first.reached) {
    head.push(`reached ${number(first.reached.return)}`, 'median steps', 'median hours');
  }
  return table(head, task.groups.map((group) => {
    const row = [element('td', {}, ...named(group.name)), String(group.runs.length), estimateCell(group.iqm), number(group.mean.value),
      estimateCell(group.area), ...group.at_steps.map(estimateCell)];
    if (group.reached) {
      row.push(`${group.reached.runs} of ${group.runs.length}`, number(group.reached.median_steps), number(group.reached.median_hours));
    }
    return row;
  }));
}

function modelChart(task) {
  const columns = [...new Set(task.groups.flatMap((group) => Object.keys(group.training)))].sort();
  if (columns.length === 0) {
    return [];
  }
  if (!columns.includes(chosen.column[task.name])) {
    chosen.column[task.name] = columns.includes(MODEL_MEASURE_FIRST) ? MODEL_MEASURE_FIRST : columns[0];
  }
  const select = element('select', {'aria-label': 'model measure'}, ...columns.map((column) => element('option', {}, column)));
  select.value = chosen.column[task.name];
  const made = chart(() => `${task.name}: ${chosen.column[task.name]}`,
    () => task.groups.filter((group) => chosen.column[task.name] in group.training)
      .flatMap((group) => band(group.name, group.training[chosen.column[task.name]], colourOf(group.name), '%{x}: %{y:.5g}')),
    () => layoutOf('env steps', '', {yaxis: chosen.column[task.name].startsWith(CARD) ? {} : {type: 'log', dtick: 'D2', tickformat: '~g'}}));
  const drawing = charts[charts.length - 1];
  select.addEventListener('change', () => {
    chosen.column[task.name] = select.value;
    draw(drawing);
  });
  return [element('h3', {}, 'The model: errors and disagreement'),
    element('p', {class: 'note'}, 'Open-loop errors are of trajectories the model has not been fitted to; model/unseen is its report card on them (include/reverie/models/report_card.h); disagreement is that of its elites on imagined rows.'),
    element('div', {class: 'controls'}, element('label', {}, 'Measure ', select)), made];
}

function differencesTable(task) {
  if (task.groups.length < 2) {
    return [];
  }
  const made = [element('h3', {}, 'What differs between the configs')];
  if (task.config_differences.length === 0) {
    return [...made, element('p', {class: 'note'}, 'Nothing.')];
  }
  return [...made, table(['key', ...task.groups.map(({name}) => name)], task.config_differences.map(({key, values}) =>
    [element('td', {}, element('code', {}, key)), ...values.map((value) => element('td', {class: 'text'}, value === '' ? '–' : value))]), true)];
}

function taskSection(task) {
  return element('section', {id: `task-${task.name}`}, element('h2', {}, task.name),
    element('p', {class: 'note'}, `Scores: the mean of a run's evaluations after step ${number(task.score_after)} and up to step ` +
      `${number(task.env_step)}, which all runs have reached. Interquartile means over runs with 95 % bootstrap intervals.`),
    numbersTable(task),
    chart(() => `${task.name}: evaluation return`, () => returnTraces(task), returnLayout),
    element('div', {class: 'pair'},
      scoreChart('Score: IQM and single runs', task.groups, 'return'),
      profileChart(task.groups, 'return')),
    ...(task.groups.length > 1 ? [improvementChart(task.groups, task.probability_of_improvement)] : []),
    ...modelChart(task), ...differencesTable(task));
}

function overallSection() {
  const groups = data.overall.groups;
  const normalised = groups.length > 0 && groups.every(({iqm}) => iqm);
  const parts = [];
  if (normalised) {
    parts.push(table(['', 'normalised IQM', 'mean'],
      groups.map((group) => [element('td', {}, ...named(group.name)), estimateCell(group.iqm), estimateCell(group.mean)])),
    element('div', {class: 'pair'},
      scoreChart('Normalised score: IQM', groups, 'score'),
      profileChart(groups, 'normalised score')));
  }
  if (groups.length > 1) {
    parts.push(improvementChart(groups, data.overall.probability_of_improvement));
  }
  return element('section', {id: 'all-tasks'}, element('h2', {}, 'All tasks'),
    element('p', {class: 'note'}, normalised ? 'Returns are normalised by the reference returns given; runs are resampled within their task.'
      : 'Without reference returns scores are not normalised: only the probability of improvement, the mean over tasks, can be said of all.'), ...parts);
}

// What all runs have in common is said once, in a sentence.
function runsTable() {
  const libraries = [...new Set(data.runs.flatMap((run) => Object.keys(run.libraries)))];
  const facts = [['machine', (run) => run.hostname], ['device', (run) => run.device], ['threads', (run) => String(run.threads)],
    ['Reverie', (run) => `${run.version} (${run.git_revision})`],
    ...libraries.map((library) => [library, (run) => run.libraries[library] || '–'])];
  const same = ([, fact]) => data.runs.every((run) => fact(run) === fact(data.runs[0]));
  const differing = facts.filter((fact) => !same(fact));
  const text = (content) => element('td', {class: 'text'}, content);
  return element('section', {}, element('h2', {}, 'Runs'), element('details', {},
    element('summary', {}, `${data.runs.length} runs: machines and versions`),
    element('p', {class: 'note'}, `In all of them: ${facts.filter(same).map(([name, fact]) => `${name} ${fact(data.runs[0])}`).join(', ') || 'nothing'}.`),
    table(['run', 'task', 'group', 'seed', 'status', 'steps', 'hours', ...differing.map(([name]) => name)],
      data.runs.map((run) => [text(run.path), text(run.task), text(run.group), String(run.seed), run.status, number(run.env_steps),
        number(run.wall_s / 3600), ...differing.map(([, fact]) => text(fact(run)))]))));
}

function controls() {
  const axis = element('select', {'aria-label': 'axis'}, element('option', {value: 'steps'}, 'env steps'), element('option', {value: 'hours'}, 'hours of training'));
  axis.value = chosen.axis;
  axis.addEventListener('change', () => { chosen.axis = axis.value; drawAll(); });
  const seeds = element('input', {type: 'checkbox', id: 'seeds'});
  seeds.checked = chosen.seeds;
  seeds.addEventListener('change', () => { chosen.seeds = seeds.checked; drawAll(); });
  return element('div', {class: 'controls'}, element('label', {}, 'Returns against ', axis), element('label', {}, seeds, ' single seeds'));
}

function build() {
  charts.splice(0).forEach((former) => Plotly.purge(former.element));
  const main = document.getElementById('main');
  main.textContent = '';
  document.getElementById('what').textContent = `${data.runs.length} runs on ${data.tasks.length === 1 ? '1 task' : `${data.tasks.length} tasks`}; ` +
    `${data.draws.toLocaleString('en-US')} bootstrap draws; Reverie ${data.reverie}.`;
  if (data.warnings.length > 0) {
    main.append(element('ul', {class: 'warnings'}, ...data.warnings.map((warning) => element('li', {}, warning))));
  }
  if (data.tasks.length > 1) {
    main.append(element('nav', {}, ...data.tasks.map(({name}) => element('a', {href: `#task-${name}`}, name)),
      ...(data.overall ? [element('a', {href: '#all-tasks'}, 'All tasks')] : [])));
  }
  main.append(controls(), ...data.tasks.map(taskSection));
  if (data.overall) {
    main.append(overallSection());
  }
  main.append(runsTable());
  return drawAll();
}

dark.addEventListener('change', drawAll);
window.addEventListener('beforeprint', () => { printing = true; drawAll(); });
window.addEventListener('afterprint', () => { printing = false; drawAll(); });

// --- A page that follows runs ----------------------------------------------------------------------------------------

let shown = '';  // the data as text, since the first look

async function follow() {
  const note = document.getElementById('live');
  try {
    const answer = await fetch('data.json');
    const text = await answer.text();
    if (!answer.ok) {
      throw new Error(text);
    }
    if (text !== shown) {  // else what the reader has opened stays open
      shown = text;
      data = JSON.parse(text);
      await build();
    }
    note.textContent = `Followed live; last looked at ${new Date().toLocaleTimeString()}.`;
  } catch (error) {
    note.textContent = error instanceof TypeError ? 'Not followed any more: the program that did has ended.' : String(error.message);
  }
  setTimeout(follow, 1000 * LIVE_SECONDS);
}

build().then(() => {
  document.body.dataset.drawn = String(charts.length);
  if ('live' in document.getElementById('data').dataset) {
    document.querySelector('header').append(element('p', {id: 'live'}, 'Followed live.'));
    setTimeout(follow, 1000 * LIVE_SECONDS);
  }
});
