/** Who wants to know at once when a container is gone: what goes on without asking it anything, and would not notice. */
import type { Container } from './binding.js'

const listeners = new WeakMap<Container, Set<() => void>>()

/** Has `listener` called when the container is gone, until the function that is returned is called. */
export function onLoss(container: Container, listener: () => void): () => void {
  let all = listeners.get(container)
  if (all === undefined) listeners.set(container, (all = new Set()))
  all.add(listener)
  return () => all.delete(listener)
}

/** The container is gone. One that nobody has any more has no listeners either. */
export function lost(container: Container | undefined): void {
  if (container === undefined) return
  for (const listener of listeners.get(container) ?? []) listener()
}
