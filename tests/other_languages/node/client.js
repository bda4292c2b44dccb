// A client made from the files of the protocol alone: creates, stores, searches, pages, and reads errors.
'use strict';

const assert = require('node:assert');
const path = require('node:path');
const grpc = require('@grpc/grpc-js');
const loader = require('@grpc/proto-loader');

const [address, folder, key] = process.argv.slice(2);
const FILES = ['collection_service', 'record_service', 'search_service', 'ingest_service', 'export_service', 'error'];
const definition = loader.loadSync(
  FILES.map((name) => path.join('vecdb', 'v1', `${name}.proto`)),
  { includeDirs: [folder], keepCase: true, longs: String, enums: String, defaults: true, oneofs: true },
);
const api = grpc.loadPackageDefinition(definition).vecdb.v1;
const credentials = grpc.credentials.createInsecure();
const metadata = new grpc.Metadata();
metadata.set('authorization', `Bearer ${key}`);

const clients = {};
for (const name of ['Collection', 'Record', 'Search', 'Ingest', 'Export']) {
  clients[name] = new api[`${name}Service`](address, credentials);
}

function call(service, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = Date.now() + 20_000;
    clients[service][method](request, metadata, { deadline }, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

// Vectors as bytes: little-endian float32, row by row.
function bytesOf(rows) {
  const data = Buffer.alloc(rows.length * rows[0].length * 4);
  rows.flat().forEach((number, place) => data.writeFloatLE(number, place * 4));
  return { type: 'VECTOR_TYPE_FLOAT32', dim: rows[0].length, data };
}

function numbersOf(rows) {
  return { dim: rows[0].length, floats: { values: rows.flat() } };
}

// The details of an error: a google.rpc.Status in a trailer, of which ErrorInfo is read by hand.
function* fieldsOf(buffer) {
  let place = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = buffer[place++];
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  while (place < buffer.length) {
    const tag = Number(varint());
    if ((tag & 7) === 0) yield [tag >> 3, varint()];
    else {
      const size = Number(varint());
      yield [tag >> 3, buffer.subarray(place, (place += size))];
    }
  }
}

function detailsOf(error) {
  const [raw] = error.metadata.get('grpc-status-details-bin');
  const found = {};
  for (const [field, packed] of fieldsOf(raw)) {
    if (field !== 3) continue;
    const any = Object.fromEntries(fieldsOf(packed));
    found[any[1].toString().split('/').pop()] = any[2];
  }
  const info = Object.fromEntries(fieldsOf(found['google.rpc.ErrorInfo']));
  return { reason: info[1].toString(), domain: info[2].toString(), names: Object.keys(found) };
}

async function refused(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('the call was not refused');
}

async function main() {
  const made = await call('Collection', 'CreateCollection', { name: 'docs', fields: [{ dim: 3, metric: 'METRIC_L2' }] });
  assert.deepStrictEqual(made.collection.fields.map((field) => field.dim), ['3']);

  // With numbers, and metadata as messages that keep int and float apart.
  const plain = [{ values: { year: { integer: 2020 }, tags: { list: { values: [{ text: 'a' }] } } } }, { values: { year: { integer: 2021 } } }];
  const first = await call('Record', 'UpsertRecords', {
    collection: 'docs',
    records: {
      ids: { texts: { values: ['one', 'two'] } },
      vectors: [{ vectors: numbersOf([[1, 0, 0], [0, 1, 0]]) }],
      metadata: { plain },
    },
  });
  assert.strictEqual(first.count, '2');

  // With bytes, and ids that JavaScript's numbers cannot hold.
  const second = await call('Record', 'UpsertRecords', {
    collection: 'docs',
    records: {
      ids: { ints: { values: ['3', '18446744073709551615'] } },
      vectors: [{ vectors: bytesOf([[0, 0, 1], [1, 1, 1]]) }],
      metadata: { plain: [{ values: { year: { integer: 2022 } } }, { values: { score: { real: 1 } } }] },
    },
  });
  assert.ok(BigInt(second.seq) > BigInt(first.seq));

  const filter = { compare: { path: 'year', op: 'COMPARISON_GE', value: { integer: 2021 } } };
  const found = await call('Search', 'Search', {
    collection: 'docs',
    query: numbersOf([[0, 0.9, 0]]),
    options: { limit: 2, filter, with_metadata: true, min_seq: second.seq },
  });
  assert.deepStrictEqual(found.hits.counts, [2]);
  assert.deepStrictEqual(found.hits.ids.mixed.values.map((id) => id[id.id]), ['two', '3']);
  assert.ok(Math.abs(found.hits.distances.values[0] - 0.1) < 1e-6);
  assert.strictEqual(found.hits.metadata.plain[0].values.year.integer, '2021');

  const ids = [];
  let token = '';
  let pages = 0;
  do {
    const page = await call('Record', 'ListRecords', { collection: 'docs', page_size: 3, page_token: token });
    const column = page.records.ids;
    ids.push(...(column.ids === 'mixed' ? column.mixed.values.map((id) => id[id.id]) : column[column.ids].values));
    token = page.next_page_token;
    pages += 1;
  } while (token);
  assert.deepStrictEqual([pages, ids], [2, ['3', '18446744073709551615', 'one', 'two']]);

  const exported = [];
  const stream = clients.Export.Export({ collection: 'docs', with_vectors: true }, metadata);
  for await (const part of stream) exported.push(part);
  assert.strictEqual(exported[0].records.vectors[0].vectors.floats.values.length, 12);

  const wrong = await refused(call('Search', 'Search', { collection: 'docs', query: numbersOf([[1, 2]]) }));
  assert.strictEqual(wrong.code, grpc.status.INVALID_ARGUMENT);
  const details = detailsOf(wrong);
  assert.deepStrictEqual([details.reason, details.domain], ['DIMENSION_MISMATCH', 'vecdb']);
  assert.ok(details.names.includes('google.rpc.BadRequest'));
  assert.match(wrong.details, /dimension/);

  const missing = await refused(call('Collection', 'GetCollection', { name: 'none' }));
  assert.strictEqual(detailsOf(missing).reason, 'COLLECTION_NOT_FOUND');

  metadata.set('authorization', 'Bearer wrong');
  const stranger = await refused(call('Collection', 'GetCollection', { name: 'docs' }));
  assert.strictEqual(detailsOf(stranger).reason, 'UNAUTHENTICATED');
  console.log('done');
}

main().then(
  () => Object.values(clients).forEach((client) => client.close()),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
