// Type tests: `tsc --noEmit` runs them, nothing else does. Policies for system calls, and rules for files and ports.
import { expectTypeOf } from 'expect-type'
import {
  SeccompPolicy,
  type LandlockRules,
  type OciSeccomp,
  type OciSeccompAction,
  type OciSeccompArg,
  type OciSeccompSyscall,
  type SeccompAction,
  type SeccompCondition,
  type SeccompInput,
} from '../../index.js'

export function inputs(): void {
  expectTypeOf<SeccompInput>().toEqualTypeOf<'default' | 'judge' | 'strict' | 'off' | OciSeccomp | SeccompPolicy>()
  // @ts-expect-error
  void ('docker' satisfies SeccompInput)
  // @ts-expect-error
  void (true satisfies SeccompInput)
}

export function policies(): void {
  const policy = SeccompPolicy.allowAll().deny('EACCES', 'socket').kill('ptrace').log('mount').allow('read')
  expectTypeOf(policy).toEqualTypeOf<SeccompPolicy>()
  expectTypeOf(SeccompPolicy.denyAll).parameter(0).toEqualTypeOf<SeccompAction | undefined>()
  expectTypeOf(SeccompPolicy.fromFile).parameter(0).toEqualTypeOf<string | URL>()
  expectTypeOf(policy.toJSON()).toEqualTypeOf<OciSeccomp>()
  policy.rule({ errno: 13 }, ['ioctl'], { arg: 1, op: '==', value: 0x5412n }, { arg: 2, mask: 0xff, value: 1 })
  // @ts-expect-error
  void (() => new SeccompPolicy('{}'))
  // @ts-expect-error
  policy.rule('deny', ['ioctl'])
  // @ts-expect-error
  void ({ arg: 1, op: '=', value: 1 } satisfies SeccompCondition)
}

export function documents(): void {
  const arg = { index: 0, value: '18446744073709551615', op: 'SCMP_CMP_MASKED_EQ', valueTwo: 1 } satisfies OciSeccompArg
  const rule = { names: ['clone'], action: 'SCMP_ACT_ERRNO', errnoRet: 1, args: [arg] } satisfies OciSeccompSyscall
  void ({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] } satisfies OciSeccomp)
  expectTypeOf<'SCMP_ACT_KILL_PROCESS'>().toExtend<OciSeccompAction>()
  // @ts-expect-error
  void ({ syscalls: [] } satisfies OciSeccomp)
  // @ts-expect-error
  void ('ALLOW' satisfies OciSeccompAction)
}

export function landlock(): void {
  void ({
    read: ['/etc'],
    write: [],
    execute: ['/usr'],
    connect: [443],
    bind: [],
    whenUnsupported: 'degrade',
  } satisfies LandlockRules)
  // @ts-expect-error
  void ({ connect: ['443'] } satisfies LandlockRules)
  // @ts-expect-error
  void ({ whenUnsupported: 'ignore' } satisfies LandlockRules)
}
