package io.github.asana_event_bridge.consumer;

import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonParseException;
import com.google.gson.JsonParser;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.protobuf.util.JsonFormat;
import io.github.asana_event_bridge.v1.Record;
import java.nio.charset.StandardCharsets;

/** Decodes the values of messages, in both of their forms. */
public final class Decode {
    /** A value in the JSON form begins with this, and one in protobuf's binary form never does. */
    private static final byte JSON_BEGINS = '{';

    private Decode() {}

    /**
     * The record that a message's value is, in protobuf's binary form or in the JSON form.
     *
     * @param value the message's value
     * @return the record
     * @throws InvalidProtocolBufferException if it is none
     */
    public static Record record(byte[] value) throws InvalidProtocolBufferException {
        if (value.length == 0 || value[0] != JSON_BEGINS) {
            return Record.parseFrom(value);
        }
        try {
            JsonObject members =
                    JsonParser.parseString(new String(value, StandardCharsets.UTF_8)).getAsJsonObject();
            for (String body : new String[] {"snapshot", "state"}) {
                JsonElement object = members.get(body) instanceof JsonObject found ? found.remove("object") : null;
                if (object != null) {
                    members.getAsJsonObject(body).addProperty("stateJson", object.toString());
                }
            }
            Record.Builder record = Record.newBuilder();
            JsonFormat.parser().ignoringUnknownFields().merge(members.toString(), record);
            return record.build();
        } catch (JsonParseException error) {
            throw new InvalidProtocolBufferException(new java.io.IOException(error));
        }
    }
}
