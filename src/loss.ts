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

/** The container is gone. */
export function lost(container: Container): void {
  for (const listener of listeners.get(container) ?? []) listener()
}
