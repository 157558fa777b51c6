/**
 * For consumers of asana-event-bridge: find out whether any record is missing, and read custom fields. The types of records
 * are in {@link io.github.asana_event_bridge.v1}, generated from the wire contract.
 */
package io.github.asana_event_bridge.consumer;
