// Reads a JSON array of CloudFormation resource types and writes, for each, the JSON Schema of its properties and the names of its
// attributes, from AWS's own description of all of them (@aws-cdk/aws-service-spec).
//
// That description of SAM is older than SAM: what SAM passes through is described as that to which it passes it
// (https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-resource-function.html).
import { readFileSync } from 'node:fs';
import { loadAwsServiceSpecSync } from '@aws-cdk/aws-service-spec';

const db = loadAwsServiceSpecSync();
const defs = {};

// Where a value is expected there may be a function instead, whose result is not known here.
const intrinsic = {
  type: 'object', minProperties: 1, maxProperties: 1, patternProperties: { '^(Ref|Fn::.+)$': {} }, additionalProperties: false,
};

const resource = (type) => {
  const found = db.lookup('resource', 'cloudFormationType', 'equals', type);
  if (found.length !== 1) throw new Error(`${found.length} descriptions of ${type}`);
  return found[0];
};

const value = (t) => ({ anyOf: [intrinsic, plain(t)] });

function plain(t) {
  switch (t.type) {
    case 'string': return t.allowedValues ? { enum: t.allowedValues } : { type: 'string' };
    case 'date-time': return { type: 'string' };
    case 'integer': case 'number': case 'boolean': return { type: t.type };
    case 'array': return { type: 'array', items: value(t.element) };
    case 'map': return { type: 'object', additionalProperties: value(t.element) };
    case 'union': return { anyOf: t.types.map(plain) };
    case 'json': return { type: 'object' };
    case 'tag': return members({ Key: { type: { type: 'string' }, required: true }, Value: { type: { type: 'string' }, required: true } });
    case 'ref': return { $ref: `#/$defs/${definition(t.reference.$ref)}` };
    default: throw new Error(`no schema for the type ${t.type}`);
  }
}

function definition(id) {
  const name = `type${id}`;
  if (!defs[name]) {
    defs[name] = {}; // of itself, perhaps
    defs[name] = members(db.get('typeDefinition', id).properties);
  }
  return name;
}

function members(properties) {
  const entries = Object.entries(properties);
  return {
    type: 'object', additionalProperties: false,
    properties: Object.fromEntries(entries.map(([name, p]) => [name, value(p.type)])),
    required: entries.filter(([, p]) => p.required).map(([name]) => name),
  };
}

const propertiesOf = (type) => {
  const described = resource(type).properties;
  if (type !== 'AWS::Serverless::Function') return members(described);
  return samFunction(described);
};

// samFunction replaces what SAM has of its own, or passes through, and this description does not know.
function samFunction(described) {
  const mapping = resource('AWS::Lambda::EventSourceMapping').properties;
  const passed = ['BatchSize', 'Enabled', 'FilterCriteria', 'FunctionResponseTypes', 'KmsKeyArn', 'MaximumBatchingWindowInSeconds', 'ScalingConfig', 'MetricsConfig'];
  const sqs = members({ Queue: { type: { type: 'string' }, required: true }, ...Object.fromEntries(passed.map((name) => [name, mapping[name]])) });
  // https://docs.aws.amazon.com/serverless-application-model/latest/developerguide/sam-property-function-schedule.html
  const rule = resource('AWS::Events::Rule').properties;
  const text = { type: { type: 'string' } };
  const schedule = members({
    Schedule: { ...text, required: true }, Name: text, Description: text, Input: text, Enabled: { type: { type: 'boolean' } }, State: rule.State,
  });
  const event = (type, properties) => ({
    type: 'object', additionalProperties: false, required: ['Type', 'Properties'], properties: { Type: { const: type }, Properties: properties },
  });
  const invoke = resource('AWS::Lambda::EventInvokeConfig').properties;
  const destination = members({ Destination: { type: { type: 'string' } }, Type: { type: { type: 'string', allowedValues: ['SQS', 'SNS', 'Lambda', 'EventBridge', 'S3Bucket'] } } });
  const config = members({ MaximumEventAgeInSeconds: invoke.MaximumEventAgeInSeconds, MaximumRetryAttempts: invoke.MaximumRetryAttempts });
  config.properties.DestinationConfig = { type: 'object', additionalProperties: false, properties: { OnSuccess: destination, OnFailure: destination } };
  const all = members({ ...described, LoggingConfig: resource('AWS::Lambda::Function').properties.LoggingConfig });
  all.properties.Events = { type: 'object', additionalProperties: { anyOf: [event('SQS', sqs), event('Schedule', schedule)] } };
  all.properties.EventInvokeConfig = config;
  return all;
}

const attributesOf = (type) => Object.keys(resource(type === 'AWS::Serverless::Function' ? 'AWS::Lambda::Function' : type).attributes);

const out = {};
for (const type of JSON.parse(readFileSync(0, 'utf8'))) {
  out[type] = { properties: propertiesOf(type), attributes: attributesOf(type) };
}
process.stdout.write(JSON.stringify({ types: out, $defs: defs }));
