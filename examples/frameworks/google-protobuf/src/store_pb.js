// What protoc-gen-js makes of store.proto, with less around it. The generator has no package for npm that brings its program, so a
// project that has one replaces this file.
const jspb = require('google-protobuf');

/** A message with one string, which has the number 1. */
function messageWith(name) {
  const Name = name[0].toUpperCase() + name.slice(1);
  return class Message extends jspb.Message {
    constructor(data) {
      super();
      jspb.Message.initialize(this, data, 0, -1, null, null);
    }

    [`get${Name}`]() {
      return jspb.Message.getFieldWithDefault(this, 1, '');
    }

    [`set${Name}`](value) {
      return jspb.Message.setProto3StringField(this, 1, value);
    }

    toObject() {
      return { [name]: this[`get${Name}`]() };
    }

    serializeBinary() {
      const writer = new jspb.BinaryWriter();
      const value = this[`get${Name}`]();
      if (value.length > 0) writer.writeString(1, value);
      return writer.getResultBuffer();
    }

    static deserializeBinary(bytes) {
      const message = new Message();
      const reader = new jspb.BinaryReader(bytes);
      while (reader.nextField() && !reader.isEndGroup()) {
        if (reader.getFieldNumber() === 1) message[`set${Name}`](reader.readString());
        else reader.skipField();
      }
      return message;
    }
  };
}

exports.File = messageWith('file');
exports.Text = messageWith('text');
