// rhea against the engine as plain AMQP 1.0 peers, each in both roles.
//
// PEER is the program amqp-peer; VALUES the file of qit-values.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { test } from 'node:test';

// Packages live below target/, where only NODE_PATH leads.
const require = createRequire(import.meta.url);
const rhea = require('rhea');
const { types, message } = rhea;
const { PEER, VALUES } = process.env;
const TIMEOUT = 60_000;

// rhea hands out messages without the types of their values: the encoded bytes are kept beside them.
const decode = message.decode;
message.decode = (data) => Object.defineProperty(decode(data), 'raw', { value: data });

// --- values with their types ---------------------------------------------------------------------------------------

function described(descriptor, value) {
    return types.described_nc(descriptor, value);
}

function long(value, bytes) {
    const buffer = Buffer.alloc(bytes);
    buffer.writeBigInt64BE(BigInt.asIntN(64, BigInt(value)));
    return buffer;
}

function bits(value) {
    return BigInt(value);
}

function wide(kind, value) {
    // An array's items have one constructor, so each is written in the widest form of its type.
    return { boolean: 0x56, ubyte: 0x50, ushort: 0x60, uint: 0x70, int: 0x71, string: 0xb1, symbol: 0xb3, float: 0x72,
        list: 0xd0 }[kind];
}

function typed(kind, value) {
    switch (kind) {
    case 'null': return types.Null();
    case 'boolean': return types.wrap_boolean(value);
    case 'ubyte': return types.wrap_ubyte(value);
    case 'ushort': return types.wrap_ushort(value);
    case 'uint': return types.wrap_uint(value);
    case 'ulong': return types.wrap_ulong(long(value, 8));
    case 'byte': return types.wrap_byte(value);
    case 'short': return types.wrap_short(value);
    case 'int': return types.wrap_int(value);
    case 'long': return types.wrap_long(long(value, 8));
    case 'char': return types.wrap_char(value);
    case 'timestamp': return types.wrap_timestamp(value);
    case 'uuid': return types.wrap_uuid(Buffer.from(value.replaceAll('-', ''), 'hex'));
    case 'binary': return types.wrap_binary(Buffer.from(value, 'hex'));
    case 'string': return types.wrap_string(value);
    case 'symbol': return types.wrap_symbol(value);
    case 'float': {
        const buffer = Buffer.alloc(4);
        buffer.writeUInt32BE(Number(bits(value)));
        return types.wrap_float(buffer.readFloatBE());
    }
    case 'double': {
        const buffer = Buffer.alloc(8);
        buffer.writeBigUInt64BE(bits(value));
        return types.wrap_double(buffer.readDoubleBE());
    }
    case 'list': return types.wrap_list(value.map(([kind, item]) => typed(kind, item)));
    case 'map': return types.Map32(value.flatMap(([key, item]) => [typed(...key), typed(...item)]));
    case 'array': return types.wrap_array(
        value.elements.map((item) => (value.element_type === 'list'
            ? item.map(([kind, item]) => typed(kind, item))
            : typed(value.element_type, item).value ?? item)),
        wide(value.element_type));
    case 'described': return described(typed(...value.descriptor), typed(...value.value));
    default: throw new Error(`unknown type ${kind}`);
    }
}

// JSON numbers beyond 2^53 would lose their last digits: they are kept as text.
function exact(text) {
    return JSON.parse(text.replace(/(?<=[[,:\s])-?\d{16,}(?=[\],\s}])/g, '"$&"'));
}

function values() {
    const found = [
        ['null', null], ['boolean', true], ['boolean', false], ['ubyte', 255], ['ushort', 65535], ['uint', 0],
        ['uint', 255], ['uint', 4294967295], ['ulong', 0], ['ulong', '18446744073709551615'], ['byte', -128],
        ['short', -32768], ['int', -1], ['int', -2147483648], ['long', -1], ['long', '-9223372036854775808'],
        ['float', 0x3fc00000], ['double', '4614256656552045848'], ['char', 0x20ac], ['timestamp', 1609459200000],
        ['uuid', '550e8400-e29b-41d4-a716-446655440000'], ['binary', '0001ff'], ['binary', '07'.repeat(300)],
        ['string', 'grüße 👋'], ['string', 's'.repeat(300)], ['symbol', 'a:symbol'], ['list', []],
        ['list', [['string', 'one'], ['list', [['int', 2]]]]],
        ['map', [[['string', 'key'], ['map', [[['symbol', 'inner'], ['uint', 1]]]]]]],
    ];
    for (const { type, values } of Object.values(exact(readFileSync(VALUES, 'utf8')))) {
        found.push(...values.map((value) => [type, value]));
    }
    return found
        // rhea does not write arrays of arrays.
        .filter(([kind, value]) => kind !== 'array' || value.element_type !== 'array')
        .map(([kind, value]) => [kind, value, typed(kind, value)]);
}

function encodedValue(value) {
    const writer = new types.Writer();
    writer.write(described(types.wrap_ulong(0x77), value));
    return writer.toBuffer();
}

const NAMES = [
    ['null', 0x40], ['boolean', 0x41, 0x42, 0x56], ['ubyte', 0x50], ['ushort', 0x60], ['uint', 0x43, 0x52, 0x70],
    ['ulong', 0x44, 0x53, 0x80], ['byte', 0x51], ['short', 0x61], ['int', 0x54, 0x71], ['long', 0x55, 0x81],
    ['float', 0x72], ['double', 0x82], ['decimal32', 0x74], ['decimal64', 0x84], ['decimal128', 0x94], ['char', 0x73],
    ['timestamp', 0x83], ['uuid', 0x98], ['binary', 0xa0, 0xb0], ['string', 0xa1, 0xb1], ['symbol', 0xa3, 0xb3],
    ['list', 0x45, 0xc0, 0xd0], ['map', 0xc1, 0xd1], ['array', 0xe0, 0xf0],
];

// A value as its type's name and its value, whatever form it was encoded in.
function plain(value) {
    if (value === null || typeof value !== 'object' || !value.type) return value;
    const [name] = NAMES.find(([, ...codes]) => codes.includes(value.type.typecode));
    let inner = value.value;
    if (name === 'boolean') inner = value.type.typecode === 0x56 ? Boolean(inner) : value.type.typecode === 0x41;
    if (name === 'null') inner = null;
    if (name === 'uint' && value.type.typecode === 0x43) inner = 0;
    if (name === 'ulong' || name === 'long') inner = Buffer.isBuffer(inner) ? BigInt.asIntN(64, BigInt(`0x${inner.toString('hex')}`)) : BigInt(inner ?? 0);
    if (Array.isArray(inner)) inner = inner.map(plain);
    return value.descriptor ? [plain(value.descriptor), name, inner] : [name, inner];
}

// The value in the body of an encoded message.
function bodyOf(raw) {
    const reader = new types.Reader(raw);
    while (reader.remaining()) {
        const section = reader.read();
        if (Number(section.descriptor.value) === 0x77) {
            delete section.descriptor;
            return section;
        }
    }
    return types.Null();
}

// --- rhea as the client --------------------------------------------------------------------------------------------

async function serving(t, args, options) {
    const child = spawn(PEER, ['serve', ...args], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface(child.stdout), 'line');
    const container = rhea.create_container();
    const connection = container.connect({ host: '127.0.0.1', port: Number(line.split(' ')[1]), reconnect: false, ...options });
    t.after(async () => {
        if (connection.is_open()) {
            connection.close();
            await once(connection, 'connection_close');
        }
        child.stdin.end();
        await once(child, 'exit');
    });
    return connection;
}

async function opened(connection) {
    await once(connection, 'connection_open');
    return connection;
}

async function sender(connection, address, options = {}) {
    const link = connection.open_sender({ target: { address }, ...options });
    await once(link, 'sendable');
    return link;
}

// Messages of a receiver, one after another.
function receiver(connection, address, options = {}) {
    const link = connection.open_receiver({ source: { address }, ...options });
    const waiting = [];
    const takers = [];
    link.on('message', (context) => {
        const taker = takers.shift();
        if (taker) taker(context);
        else waiting.push(context);
    });
    return { link, waiting, next: () => new Promise((taker) => {
        const context = waiting.shift();
        if (context) taker(context);
        else takers.push(taker);
    }) };
}

function encoded(data) {
    const writer = new types.Writer();
    writer.write(described(types.wrap_ulong(0x75), types.wrap_binary(data)));
    return writer.toBuffer();
}

test('rhea as the client', { timeout: 3 * TIMEOUT }, async (t) => {
    await t.test('values', async (t) => {
        const connection = await opened(await serving(t, []));
        const out = await sender(connection, 'values');
        const back = receiver(connection, 'values');
        for (const [kind, value, wrapped] of values()) {
            out.send(encodedValue(wrapped), undefined, 0);
            const { message } = await back.next();
            const sent = plain(bodyOf(encodedValue(wrapped)));
            assert.deepEqual(plain(bodyOf(message.raw)), sent, `${kind} ${JSON.stringify(value)}`);
        }
    });

    await t.test('message sections', async (t) => {
        const connection = await opened(await serving(t, []));
        const out = await sender(connection, 'sections');
        const back = receiver(connection, 'sections');
        const sent = {
            message_id: 'id', user_id: Buffer.from('user'), to: 'to', subject: 'subject', reply_to: 'reply',
            correlation_id: 7, content_type: 'text/plain', content_encoding: 'identity',
            absolute_expiry_time: new Date(12_500), creation_time: new Date(11_250), group_id: 'group',
            group_sequence: 3, reply_to_group_id: 'back', durable: true, priority: 9, ttl: 1500,
            first_acquirer: true, delivery_count: 2, application_properties: { a: 1, d: 'text' },
            message_annotations: { 'x-opt-one': 1 }, delivery_annotations: { 'x-two': 'instruction' }, body: 'text',
        };
        out.send(sent);
        const { message } = await back.next();
        for (const [name, value] of Object.entries(sent)) assert.deepEqual(message[name], value, name);
    });

    for (const [ours, theirs] of [[512, 512], [4096, 512], [512, 4096], [65536, 65536]]) {
        await t.test(`a large message in frames of ${ours} and ${theirs}`, async (t) => {
            const options = { max_frame_size: theirs };
            const connection = await opened(await serving(t, ['--max-frame-size', String(ours)], options));
            const out = await sender(connection, 'large');
            const back = receiver(connection, 'large');
            const data = Buffer.from(Uint8Array.from({ length: 10_000_000 }, (_, at) => at ^ (at >> 8) ^ (at >> 16)));
            out.send(encoded(data), undefined, 0);
            const { message } = await back.next();
            assert.ok(message.body.content.equals(data));
        });
    }

    await t.test('outcomes', async (t) => {
        const connection = await opened(await serving(t, []));
        for (const [address, event] of [['reject', 'rejected'], ['release', 'released'], ['modify', 'modified'], ['accept', 'accepted']]) {
            const out = await sender(connection, address, { treat_modified_as_released: false });
            out.send({ body: 'x' });
            const [{ delivery }] = await once(out, event);
            if (event === 'rejected') assert.equal(delivery.remote_state.error.condition, 'test:refused');
        }
    });

    await t.test('refused and detached', async (t) => {
        const connection = await opened(await serving(t, []));
        for (const [open, event] of [['open_sender', 'sender_error'], ['open_receiver', 'receiver_error']]) {
            const link = connection[open]('refuse');
            await once(link, event);
            assert.equal(link.error.condition, 'amqp:not-found');
        }
        const out = await sender(connection, 'kick');
        out.send({ body: 'x' });
        await once(out, 'sender_error');
        assert.equal(out.error.condition, 'amqp:resource-deleted');
        const other = await sender(connection, 'other');
        other.send({ body: 'x' });
        await once(other, 'accepted');
    });

    await t.test('credit and drain', async (t) => {
        const connection = await opened(await serving(t, []));
        const burst = receiver(connection, 'burst', { credit_window: 0 });
        await once(burst.link, 'receiver_open');
        const got = [];
        for (const [credit, upto] of [[3, 3], [4, 7]]) {
            burst.link.add_credit(credit);
            while (got.length < upto) got.push((await burst.next()).message.body);
            await new Promise((done) => setTimeout(done, 300));
            assert.equal(burst.waiting.length, 0, 'no more than was granted');
        }
        burst.link.add_credit(10);
        burst.link.drain_credit();
        await once(burst.link, 'receiver_drained');
        while (burst.waiting.length) got.push((await burst.next()).message.body);
        assert.deepEqual(got, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert.equal(burst.link.credit, 0);
    });

    await t.test('two phases', async (t) => {
        const connection = await opened(await serving(t, []));
        const out = await sender(connection, 'two', { rcv_settle_mode: 1 });
        for (let number = 0; number < 5; number++) {
            out.send({ body: number });
            const [{ delivery }] = await once(out, 'accepted');
            assert.equal(delivery.remote_settled, false, 'the receiver waits for the sender');
            delivery.update(true);
        }
        const back = receiver(connection, 'two', { rcv_settle_mode: 1, autoaccept: false });
        for (let number = 0; number < 5; number++) {
            const { message, delivery } = await back.next();
            assert.equal(message.body, number);
            delivery.accept();
            await once(back.link, 'settled');
        }
    });

    await t.test('PLAIN', async (t) => {
        const connection = await opened(await serving(t, ['--plain', 'user:secret'], { username: 'user', password: 'secret' }));
        const out = await sender(connection, 'x');
        out.send({ body: 'x' });
        await once(out, 'accepted');
    });

    await t.test('PLAIN refused', async (t) => {
        const connection = await serving(t, ['--plain', 'user:secret'], { username: 'user', password: 'wrong' });
        await once(connection, 'connection_error');
        assert.equal(connection.get_error().condition, 'amqp:unauthorized-access');
    });
});

// --- rhea as the server --------------------------------------------------------------------------------------------

// A server that behaves as amqp-peer's own does.
async function broker(t, { plain, max_frame_size }) {
    const container = rhea.create_container();
    if (plain) container.sasl_server_mechanisms.enable_plain((user, password) => `${user}:${password}` === plain);
    else container.sasl_server_mechanisms.enable_anonymous();
    const queues = new Map([['burst', Array.from({ length: 10 }, (_, number) => encodedValue(types.wrap_ubyte(number)))]]);
    const readers = new Map();
    const serve = (address) => {
        const queue = queues.get(address) ?? [];
        for (const link of readers.get(address) ?? []) {
            while (queue.length && link.sendable()) link.send(queue.shift(), undefined, 0);
        }
    };
    container.on('connection_error', () => {});
    container.on('sender_open', ({ sender }) => {
        const { address } = sender.source;
        if (address === 'refuse') return sender.close({ condition: 'amqp:not-found', description: 'there is no such node' });
        sender.set_source({ address });
        sender.local.attach.rcv_settle_mode = sender.rcv_settle_mode;
        readers.set(address, [...(readers.get(address) ?? []), sender]);
        serve(address);
    });
    container.on('sender_close', ({ sender }) => {
        for (const [address, links] of readers) readers.set(address, links.filter((link) => link !== sender));
    });
    container.on('sendable', ({ sender }) => serve(sender.source.address));
    container.on('sender_draining', ({ sender }) => {
        serve(sender.source.address);
        sender.set_drained(true);
    });
    container.on('accepted', ({ delivery }) => {
        // The receiver has proposed an outcome: the sender settles.
        if (!delivery.remote_settled) delivery.update(true);
    });
    container.on('receiver_open', ({ receiver }) => {
        const { address } = receiver.target;
        if (address === 'refuse') return receiver.close({ condition: 'amqp:not-found', description: 'there is no such node' });
        receiver.set_target({ address });
        receiver.local.attach.rcv_settle_mode = receiver.rcv_settle_mode;
        receiver.add_credit(1000);
    });
    container.on('message', ({ message, delivery, receiver }) => {
        const { address } = receiver.target;
        receiver.add_credit(1);
        if (address === 'reject') delivery.reject({ condition: 'test:refused', description: 'not this one' });
        else if (address === 'release') delivery.release();
        else if (address === 'modify') delivery.modified({ delivery_failed: true, undeliverable_here: true });
        else {
            // A value is taken apart and put together again, where rhea can: it cannot write an array of lists or
            // arrays, and of the descriptors of a described value in a section it keeps one.
            const value = bodyOf(message.raw);
            const nested = message.raw[3] === 0 || (value.type.name.startsWith('Array') && [0xc0, 0xd0, 0xe0, 0xf0].includes(value.array_constructor.typecode));
            const again = nested || (message.body && message.body.typecode) ? message.raw : encodedValue(value);
            queues.set(address, [...(queues.get(address) ?? []), again]);
            if (!delivery.remote_settled) delivery.accept();
        }
        if (address === 'kick') receiver.close({ condition: 'amqp:resource-deleted', description: 'gone in the meantime' });
        else serve(address);
    });
    const server = container.listen({
        host: '127.0.0.1', port: 0, max_frame_size, receiver_options: { autoaccept: false, credit_window: 0 },
    });
    await once(server, 'listening');
    t.after(() => server.close());
    return server.address().port;
}

async function drive(t, check, { ours = 65536, theirs = 65536, plain } = {}) {
    const port = await broker(t, { plain, max_frame_size: theirs });
    const args = ['drive', String(port), check, '--max-frame-size', String(ours)];
    args.push('--values', VALUES);
    if (plain) args.push('--plain', plain);
    const child = spawn(PEER, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    child.stdout.on('data', (data) => { said += data; });
    child.stderr.on('data', (data) => { said += data; });
    const [code] = await once(child, 'exit');
    assert.equal(code, 0, said);
    t.diagnostic(`${check} ${said.trim()}`);
}

test('rhea as the server', { timeout: 5 * TIMEOUT }, async (t) => {
    for (const check of execFileSync(PEER, ['checks'], { encoding: 'utf8' }).split('\n').filter(Boolean)) {
        await t.test(check, (t) => drive(t, check));
    }
    for (const [ours, theirs] of [[512, 512], [4096, 512], [512, 4096]]) {
        await t.test(`large in frames of ${ours} and ${theirs}`, (t) => drive(t, 'large', { ours, theirs }));
    }
    await t.test('PLAIN', (t) => drive(t, 'settled', { plain: 'user:secret' }));
});
