import { Component, createElement, type ComponentType } from "preact";

/** A component that is drawn again only when one of its properties is another value. */
export function memo<P extends object>(Inner: ComponentType<P>): ComponentType<P> {
  return class extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      return Object.keys(after).some((key) => !Object.is(before[key], after[key]));
    }

    override render() {
      return createElement(Inner, this.props as P);
    }
  };
}
