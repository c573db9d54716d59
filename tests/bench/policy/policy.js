// SPDX-License-Identifier: MIT
// policy.lua for Haraka: the same seven handlers, and a queue that takes everything and keeps nothing.
'use strict';

const fs = require('node:fs');
const net = require('node:net');
const path = require('node:path');

const folder = path.dirname(process.env.MAILERQ_LUA_POLICY);

function lines(name) {
  return fs
    .readFileSync(path.join(folder, name), 'utf8')
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line && !line.startsWith('#'));
}

function table(name) {
  const map = new Map();
  for (const line of lines(name)) {
    const [key, ...value] = line.split(/\s+/);
    map.set(key.toLowerCase(), value.join(' '));
  }
  return map;
}

function networks(name) {
  const list = new net.BlockList();
  for (const line of lines(name)) {
    const [address, bits] = line.split('/');
    const family = net.isIPv6(address) ? 'ipv6' : 'ipv4';
    list.addSubnet(address, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family);
  }
  return list;
}

// The value of user@domain, else of @domain.
function lookup(map, address) {
  const host = address.host ? address.host.toLowerCase() : '';
  return map.get(`${address.user ? address.user.toLowerCase() : ''}@${host}`) ?? map.get(`@${host}`);
}

let refused, partners, senders, recipients, customers;

exports.register = function () {
  refused = networks('refused.txt');
  partners = networks('partners.txt');
  senders = table('senders.txt');
  recipients = table('recipients.txt');
  customers = table('customers.txt');
  this.register_hook('connect', 'client');
  this.register_hook('mail', 'sender');
  this.register_hook('rcpt', 'recipient');
  this.register_hook('rcpt', 'count');
  this.register_hook('data_post', 'classify');
  this.register_hook('data_post', 'route');
  this.register_hook('data_post', 'verdict');
  this.register_hook('queue', 'take');
};

exports.client = function (next, connection) {
  const ip = connection.remote.ip;
  const family = net.isIPv6(ip) ? 'ipv6' : 'ipv4';
  if (refused.check(ip, family)) return next(DENYDISCONNECT, 'Not from your network');
  connection.notes.partner = partners.check(ip, family);
  next();
};

exports.sender = function (next, connection, params) {
  if (lookup(senders, params[0]) !== undefined) return next(DENY, 'Sender is blocked');
  next();
};

exports.recipient = function (next, connection, params) {
  if (lookup(recipients, params[0]) === 'moved') return next(DENY, 'This mailbox has moved');
  next();
};

exports.count = function (next, connection) {
  const notes = connection.transaction.notes;
  notes.recipients = (notes.recipients ?? 0) + 1;
  if (notes.recipients > 100 && !connection.notes.partner) return next(DENYSOFT, 'Too many recipients');
  next(OK);
};

exports.classify = function (next, connection) {
  const transaction = connection.transaction;
  const tags = (transaction.notes.tags = []);
  tags.push(connection.notes.partner ? 'partner' : 'public');
  if (!transaction.header.get('Message-Id') || !transaction.header.get('Date')) tags.push('incomplete');
  if (connection.tls.enabled) tags.push('tls');
  next();
};

exports.route = function (next, connection) {
  const transaction = connection.transaction;
  transaction.notes.pool = lookup(customers, transaction.mail_from) ?? 'shared';
  next();
};

exports.verdict = function (next, connection) {
  const transaction = connection.transaction;
  for (const recipient of transaction.rcpt_to) {
    if (lookup(recipients, recipient) === 'trap') {
      transaction.notes.quarantine = { recipient: 'traps@platform.example', reason: 'spam trap' };
      transaction.notes.tags.push('quarantine');
    }
  }
  next();
};

exports.take = function (next) {
  next(OK);
};
